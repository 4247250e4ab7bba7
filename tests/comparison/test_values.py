"""Values and tests: what one run alone says, and how the others differ from the reference."""

import json
import shutil

import pytest
from scipy.stats import norm

from mllmrec import ranking
from mllmrec.comparison.ranks import Board
from mllmrec.comparison.values import against, by_law, metrics_of, primary_of, values
from tests.comparison.study import Study, measured, options

WORST, HALF, BEST = [4] * 40, [1, 4] * 20, [1] * 40


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_means_bounds_and_counts_are_those_of_each_ranking_alone(study):
    one, two = study.launch("one", {"sft": HALF, "grpo": WORST}), study.launch("two", {"sft": BEST})
    runs = study.runs(one=one, two=two)
    found = values(Board.of(runs, options().policies), options())
    alone = ranking.intervals({"a": measured("hr@1", HALF)}, seed=0)["a"]
    assert found["sft/uni3/hr@1"]["mean"] == [0.5, 1.0]
    assert found["sft/uni3/hr@1"]["low"] == [alone.low, 1.0]
    assert found["sft/uni3/hr@1"]["high"] == [alone.high, 1.0]
    assert found["sft/uni3/hr@1"]["n"] == [40, 40]
    assert found["grpo/uni3/hr@1"]["mean"] == [0.0, None]  # the second run has none
    assert found["sft/uni3/mrr"]["mean"][0] == pytest.approx((1 + 1 / 4) / 2)
    assert not any("@9" in key for key in found)  # K is not below four candidates
    assert "ndcg@1" not in metrics_of(options(k=[1, 2]))  # it is HR@1


def hits(count):
    """As HALF, and so many more targets first."""
    return [1] * (2 * count) + HALF[2 * count :]


def test_differences_are_those_of_the_paired_bootstrap_corrected_over_the_runs(study):
    some = {"a": HALF, "b": hits(5), "c": hits(3), "d": hits(1)}
    runs = study.runs(**{name: study.launch(name, {"sft": row}) for name, row in some.items()})
    tested = against(Board.of(runs, ["sft"]), options(), reference=0)
    for metric in options().metrics:
        told = tested[f"sft/uni3/{metric}"]
        lines = [
            ranking.difference(measured(metric, row), measured(metric, HALF), seed=0)
            for row in list(some.values())[1:]
        ]
        for name in ("diff", "low", "high", "p"):
            assert told[name][0] is None
            assert told[name][1:] == pytest.approx([getattr(line, name) for line in lines])
        first, second, third = (line.p for line in lines)
        assert 2 / 2001 < first < second < third == 1
        by_hand = [3 * first, max(3 * first, 2 * second), max(2 * second, third)]
        assert told["holm"][1:] == pytest.approx([min(1, p) for p in by_hand])
    assert tested["sft/uni3/hr@1"]["diff"][3] == 1 / 40


@pytest.mark.slow
def test_among_many_runs_a_clear_difference_is_still_seen(study):
    """2,000 draws know no p below 1/1000: sixty times that would be called chance."""
    half, best = HALF * 2, BEST * 2
    some = {"a": half, "b": best} | {f"n{k}": half[::-1][k:] + half[::-1][:k] for k in (0, 1)}
    some |= {f"r{n}": [1 + (n >> (k % 6)) % 4 for k in range(80)] for n in range(60)}
    runs = study.runs(**{name: study.launch(name, {"sft": row}) for name, row in some.items()})
    told = against(Board.of(runs, ["sft"]), options(), reference=0)["sft/uni3/hr@1"]
    assert told["p"][1] == told["holm"][1] == 2 / 2001
    assert all(a is None or a >= b for a, b in zip(told["holm"], told["p"], strict=True))
    z = 0.5 / (0.5 / 80**0.5)  # of eighty differences, half of them 1 and half 0
    assert by_law(measured("hr@1", best) - measured("hr@1", half)) == pytest.approx(
        2 * norm.sf(z), rel=1e-9
    )


def test_where_few_samples_differ_no_p_is_below_the_exact_one(study):
    """The bootstrap gives .014 for five of a thousand, all one way, and .001 for one of one."""
    base = [4] * 200
    some = {"a": base} | {f"r{k}": [1] * k + base[k:] for k in (1, 3, 5, 8, 12, 30)}
    runs = study.runs(**{name: study.launch(name, {"sft": row}) for name, row in some.items()})
    told = against(Board.of(runs, ["sft"]), options(), reference=0)["sft/uni3/hr@1"]
    exact = [1, 2 * 0.5**3, 2 * 0.5**5, 2 * 0.5**8]  # the sign test
    assert told["p"][1:5] == pytest.approx(exact)
    assert told["p"][1:] == sorted(told["p"][1:], reverse=True)
    assert told["holm"][1:] == sorted(told["holm"][1:], reverse=True)


def test_the_law_counts_also_where_the_bootstrap_is_above_its_floor(study):
    """Of 60 that differ, 40 one way: the larger of the two is told, and adjusted."""
    base, ours = [4] * 40 + [1] * 20 + [4] * 140, [1] * 40 + [4] * 160
    runs = study.runs(a=study.launch("a", {"sft": base}), b=study.launch("b", {"sft": ours}))
    told = against(Board.of(runs, ["sft"]), options(), reference=0)["sft/uni3/hr@1"]
    paired = measured("hr@1", ours) - measured("hr@1", base)
    alone = ranking.differences(paired[:, None], seed=0)[0].p
    assert told["p"][1] == told["holm"][1] == max(alone, by_law(paired)) > 2 / 2001


def test_written_lists_are_tested_only_where_the_candidates_were_the_same(study):
    one = study.launch("one", {"sft": HALF}, written=True)
    two = study.launch("two", {"sft": BEST}, written=True)
    seeds = study.launch("seeds", {"sft": BEST}, seed=7, written=True)  # the same candidates
    drawn = study.launch("drawn", {"sft": BEST}, others=["a", "b", "x"], written=True)
    ranked = study.launch("ranked", {"sft": BEST})
    shown = {"one": one, "two": two, "seeds": seeds, "drawn": drawn, "ranked": ranked}
    told = against(Board.of(study.runs(**shown), ["sft"]), options(), 0)["sft/uni3/hr@1"]
    assert told["diff"] == [None, 0.5, 0.5, None, 0.5]
    for folder in study.store.root.glob("*/prepare/*"):
        shutil.rmtree(folder)  # what the candidates were nobody knows: equal questions alone pair
    told = against(Board.of(study.runs(**shown), ["sft"]), options(), 0)["sft/uni3/hr@1"]
    assert told["diff"] == [None, 0.5, None, None, None]


def test_a_target_that_no_list_names_is_the_worst(study):
    runs = study.runs(
        one=study.launch("one", {"sft": [0, 1, 2]}, written=True),
        two=study.launch("two", {"sft": [1, 1, 2]}, written=True),
    )
    found = values(Board.of(runs, ["sft"]), options())["sft/uni3/hr@1"]
    assert found["mean"] == pytest.approx([1 / 3, 2 / 3])


def test_a_shared_ranking_is_one_test_and_the_references_own_is_none(study):
    rows = {"a": HALF, "b": BEST, "c": BEST, "d": HALF}
    runs = study.runs(**{name: study.launch(name, {"sft": row}) for name, row in rows.items()})
    board = Board.of(runs, ["sft"])
    assert len(board.met) == 2
    told = against(board, options(), reference=0)["sft/uni3/hr@1"]
    assert told["diff"] == [None, 0.5, 0.5, 0.0]
    assert told["p"][3] == 1.0
    assert told["holm"][1] == told["p"][1]  # a family of one


def test_another_reference_is_held_against(study):
    rows = {"a": HALF, "b": BEST}
    runs = study.runs(**{name: study.launch(name, {"sft": row}) for name, row in rows.items()})
    assert against(Board.of(runs, ["sft"]), options(), 1)["sft/uni3/hr@1"]["diff"] == [-0.5, None]


def test_what_did_not_rank_the_same_samples_is_not_tested(study):
    one = study.launch("one", {"sft": HALF})
    seeds = study.launch("seeds", {"sft": BEST}, seed=7)  # the same users and candidates, though
    drawn = study.launch("drawn", {"sft": BEST}, others=["a", "b", "x"])
    fewer = study.launch("fewer", {"sft": BEST[:30]})
    board = Board.of(study.runs(one=one, seeds=seeds, drawn=drawn, fewer=fewer), ["sft"])
    assert against(board, options(), 0)["sft/uni3/hr@1"]["diff"] == [None, 0.5, None, None]
    assert values(board, options())["sft/uni3/hr@1"]["mean"] == [0.5, 1, 1, 1]


def test_what_is_left_of_an_evaluation_is_told(study):
    one = study.launch("one", {"sft": HALF})
    two = study.launch("two", {"sft": BEST})
    told = json.loads((two / "run.json").read_text())
    by = {step["label"]: step["folder"] for step in told["steps"]}
    shutil.rmtree(by["rank sft"])
    runs = study.runs(one=one, two=two)
    found = values(Board.of(runs, ["sft"]), options())["sft/uni3/hr@1"]
    assert found["low"][1] == 1.0 and found["n"] == [40, 40]  # from its results
    shutil.rmtree(by["evaluate"])
    runs = study.runs(one=one, two=two)
    found = values(Board.of(runs, ["sft"]), options())["sft/uni3/hr@1"]
    assert found["mean"] == [0.5, 1.0] and found["low"][1] is None  # from its own words


def test_artifacts_that_moved_are_found_in_the_store(study):
    one = study.launch("one", {"sft": HALF})
    path = one / "run.json"
    path.write_text(path.read_text().replace(str(study.store.root), "/gone"))
    found = values(Board.of(study.runs(one=one), ["sft"]), options())
    assert found["sft/uni3/hr@1"]["n"] == [40]


def test_the_primary_value_is_that_of_the_last_policy_that_is_there(study):
    runs = study.runs(one=study.launch("one", {"sft": HALF, "popularity": HALF}))
    board = Board.of(runs, options().policies)
    found = values(board, options())
    assert primary_of(found, board, options()) == "sft/uni3/ndcg@2"
    named = options(primary="popularity/uni3/hr@1")
    assert primary_of(found, board, named) == "popularity/uni3/hr@1"
    assert primary_of(found, board, options(primary="grpo/uni3/hr@1")) is None


def test_the_primary_value_may_be_one_that_nothing_else_asks_for(study):
    some = {"one": HALF, "two": BEST}
    runs = study.runs(**{name: study.launch(name, {"markov": row}) for name, row in some.items()})
    asked = options(policies=["sft"], primary="markov/uni3/hr@3")
    board = Board.of(runs, asked.every_policy)
    assert values(board, asked)["markov/uni3/hr@3"]["mean"] == [0.5, 1.0]
    assert against(board, asked, 0)["markov/uni3/hr@3"]["diff"] == [None, 0.5]
