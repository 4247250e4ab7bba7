"""Algorithms side by side, seeds together: curves, gains over SFT, groups and costs, by hand."""

import pytest

from mllmrec.comparison.build import build
from mllmrec.comparison.gains import p_over_seeds, verdict
from mllmrec.comparison.lines import lines_of
from mllmrec.comparison.ranks import Board
from mllmrec.comparison.study import by_knobs, study
from tests.comparison.methods import Methods, times
from tests.comparison.study import options

KEY = "grpo/uni3/ndcg@2"
T2 = 4.3027  # of 95 %, two degrees of freedom


@pytest.fixture
def methods(tmp_path):
    return Methods(tmp_path)


def told(methods, **more):
    asked = options(metrics=["ndcg@2"], policies=["sft", "sft_continued", "grpo"], **more)
    board = Board.of(methods.runs(), asked.every_policy)
    made = study(board, asked, KEY)
    return made and {one["name"]: one for one in made["lines"]}


def notes(methods):
    asked = options(metrics=["ndcg@2"], policies=["sft", "sft_continued", "grpo"])
    return study(Board.of(methods.runs(), asked.every_policy), asked, KEY)["notes"]


def test_a_curve_is_the_mean_of_seeds_at_each_look_with_what_was_spent(methods):
    """At step 2: 0.5, 0.6, 0.7, so 0.6 ± 4.303 · 0.1 / √3; 2 · 4 · 8 rollouts; 2, 4, 6 seconds."""
    for seed, (end, each) in enumerate(((0.5, 1.0), (0.6, 2.0), (0.7, 3.0))):
        methods.run("riser", seed, probe=(0.4, end), took=times([1, 2], each))
    curve = told(methods)["riser"]["curve"]
    assert curve["step"] == [0, 2] and curve["n"] == 3
    assert curve["mean"] == pytest.approx([0.4, 0.6])
    half = T2 * 0.1 / 3**0.5
    assert curve["low"] == pytest.approx([0.4, 0.6 - half], abs=1e-4)
    assert curve["rollouts"] == [0, 64] and curve["tokens"] == [0, 2000]
    assert curve["cpu_seconds"] == pytest.approx([0, 4])


def test_sft_stands_where_as_many_steps_of_grpo_would(methods):
    methods.run("grpo", 0)
    curve = told(methods)["sft_continued"]["curve"]
    assert curve["rollouts"] == [0, 64] and curve["low"] == [None, None]
    assert curve["cpu_seconds"] is None  # nobody kept it


def test_sft_draws_nothing_where_grpo_learns_again_from_what_it_drew(methods):
    """At step 3 of two rounds a draw GRPO has drawn at steps 0 and 2: 2 · 4 · 8 rollouts."""
    methods.run("grpo", 0, drawn={"num_iterations": 2})
    (member,) = lines_of(methods.runs())[1].members
    assert by_knobs(member, [0, 1, 2, 3]) == [0, 32, 32, 64]


def test_sft_for_as_many_tokens_has_no_place_by_rollouts(methods):
    methods.run("grpo", 0, "sft_continued.match=tokens", match="tokens")
    curve = told(methods)["sft_continued, equal tokens"]["curve"]
    assert curve["rollouts"] is None and curve["tokens"] == [0, 2000]


def test_a_curve_that_ends_with_its_shortest_seed_says_so(methods):
    methods.run("riser", 0, probe=(0.4, 0.5, 0.6))
    methods.run("riser", 1, probe=(0.4, 0.5))
    methods.run("grpo", 0)
    methods.run("grpo", 1, probe=())
    assert notes(methods) == [
        "riser: its curves end at step 2 of 4, where seed 1 did",
        "grpo: no curve, as seed 1 did not look at the probe",
    ]


def test_runs_without_a_model_are_named(methods):
    methods.run("riser", 0)
    methods.run("riser", 1)
    (methods.runs()[1].artifact("grpo").folder / "manifest.json").unlink()
    assert told(methods)["riser"]["seeds"] == [0]
    (note,) = notes(methods)
    assert note.startswith("grpo: no model of 1 (") and note.endswith("left out")
    methods.made["2"] = methods.write("2", ["algorithm=riser"], "running", {}, [], {})
    assert notes(methods)[0] == "no steps of 2, as yet or at all: left out"


def test_a_gain_is_paired_with_sft_of_the_same_run_and_means_seeds_per_sample(methods):
    """SFT has its target second: NDCG 0.6309. Seeds 0 and 1 put 10 and 20 of 20 targets first:
    gains of 0.3691 · 0.5 and 0.3691, so 0.2768 in the mean; sample by sample 0.3691 where both
    do, and half of it where one does.
    """
    methods.run("grpo", 0, ranks=[1] * 10 + [2] * 10)
    methods.run("grpo", 1, ranks=[1] * 20)
    found = told(methods)
    gain = found["grpo"]["gain"]["ndcg@2"]
    one = 1 - 0.63093
    assert gain["diff"] == pytest.approx(0.75 * one, abs=1e-4) and gain["n"] == 2
    half = 12.706 * (0.5 * one / 2**0.5) / 2**0.5  # t's at one degree
    assert gain["seeds"] == pytest.approx([0.75 * one - half, 0.75 * one + half], abs=1e-3)
    assert 0.5 * one < gain["low"] < gain["diff"] < gain["high"] < one
    assert gain["p"] < 0.001 and gain["verdict"] == "not distinguishable"  # two seeds say little
    same = found["sft_continued"]["gain"]["ndcg@2"]
    assert (same["diff"], same["p"], same["verdict"]) == (0, 1, "not distinguishable")
    final = found["grpo"]["final"]["ndcg@2"]
    assert final["mean"] == pytest.approx(0.63093 + 0.75 * one, abs=1e-4) and final["n"] == 2


def test_seeds_that_ranked_other_samples_have_the_interval_over_seeds_alone(methods):
    for top, best, others in ((1, 10, "abc"), (2, 20, "ab")):
        row = [1] * best + [2] * (20 - best)
        methods.run("grpo", top, top=top, ranks=row, others=[*others])
    gain = told(methods)["grpo"]["gain"]["ndcg@2"]
    assert gain["diff"] == pytest.approx(0.75 * (1 - 0.63093), abs=1e-4)
    assert gain["low"] is gain["p"] is gain["holm"] is None and gain["seeds"][0] is not None
    assert gain["p_seeds"] is not None and gain["verdict"] == "not tested"


def test_a_gain_that_is_not_of_all_seeds_says_so(methods):
    """SFT's rankings of the second run are gone: its own mean is told, and no gain."""
    methods.run("grpo", 0)
    methods.run("grpo", 1, top=1, others=["a", "b"])
    (methods.runs()[1].ranking("sft").folder / "uni3.parquet").unlink()
    one = told(methods)["grpo"]
    assert (one["final"]["ndcg@2"]["n"], one["gain"]["ndcg@2"]["n"]) == (2, 1)
    assert "grpo: its gain is of 1 of the 2 seeds" in notes(methods)[0]


def test_what_chance_allows_to_say():
    known = {"diff": 0.1, "holm": 0.01, "holm_seeds": 0.04}
    assert verdict(known) == "above"
    assert verdict({**known, "diff": -0.1}) == "below"
    assert verdict({**known, "holm_seeds": 0.06}) == "not distinguishable"
    assert verdict({**known, "holm": 0.06}) == "not distinguishable"
    assert verdict({**known, "holm_seeds": None}) == "above, of one seed"
    assert verdict({**known, "holm": None}) == "not tested"


def test_the_p_over_seeds_is_students():
    """Of 1 and 3: mean 2, s/√n = 1, t = 2; at one degree p = 1 - 2/π · arctan 2 = 0.2952. Of 7, 10
    and 13: t = 10 / (3/√3), t² = 33.33; at two p = 1 - t/√(2 + t²) = 0.0287.
    """
    assert p_over_seeds([1.0, 3.0]) == pytest.approx(0.2952, abs=1e-4)
    assert p_over_seeds([7.0, 10.0, 13.0]) == pytest.approx(0.0287, abs=1e-4)
    assert p_over_seeds([-7.0, -10.0, -13.0]) == pytest.approx(0.0287, abs=1e-4)
    assert (p_over_seeds([0.0, 0.0]), p_over_seeds([2.0, 2.0])) == (1.0, 0.0)
    assert p_over_seeds([2.0]) is None


def test_seeds_are_tested_over_all_lines(methods):
    """7, 10 and 13 of 20 first: p = 0.0287 by t, its interval above 0; of two lines 0.0574."""
    for seed, best in enumerate((7, 10, 13)):
        methods.run("grpo", seed, ranks=[1] * best + [2] * (20 - best))
    gain = told(methods)["grpo"]["gain"]["ndcg@2"]
    assert gain["seeds"][0] > 0 and gain["holm"] < 0.05
    assert gain["p_seeds"] == pytest.approx(0.0287, abs=1e-4)
    assert gain["holm_seeds"] == pytest.approx(0.0574, abs=1e-4)
    assert gain["verdict"] == "not distinguishable"


def test_groups_are_told_by_step_and_as_a_whole(methods):
    for seed, share in enumerate((0.2, 0.4)):
        methods.run("grpo", seed, probe=(0.4, 0.5, 0.6), **{"groups/no_signal": share})
    found = told(methods)["grpo"]["groups"]["groups/no_signal"]
    assert found["step"] == [2, 4] and found["mean"] == pytest.approx([0.3, 0.3])
    assert found["whole"]["mean"] == pytest.approx(0.3) and found["whole"]["n"] == 2


def test_costs_are_shares_of_all_of_the_time(methods):
    """One second at 0.2 and three at 0.6: (0.2 + 1.8) / 4 = 0.5."""
    took = {"step": [1, 2], "cpu_seconds": [1.0, 4.0], "cost/rollout": [0.2, 0.6]}
    methods.run("grpo", 0, took=took)
    assert told(methods)["grpo"]["costs"] == {"rollout": pytest.approx(0.5)}
    assert told(methods)["grpo"]["spent"]["cpu_seconds"]["mean"] == 4.0
    methods.run("grpo", 1)  # kept no times
    assert told(methods)["grpo"]["costs"] == {"rollout": pytest.approx(0.5)}
    assert told(methods)["grpo"]["spent"]["cpu_seconds"]["n"] == 1


def test_counts_keep_all_of_their_digits(methods):
    """Seeds that read 12,345,678 and 12,345,681 tokens: in the mean 12,345,679.5, told as 680."""
    for seed, tokens in enumerate((12345678, 12345681)):
        methods.run("grpo", seed, tokens=tokens)
    data = build(methods.runs(), options(metrics=["ndcg@2"], primary=KEY), "A study")
    assert data["study"]["lines"][0]["spent"]["tokens"]["mean"] == 12345680


def test_runs_without_a_probe_are_no_study_and_too_many_lines_neither(methods, monkeypatch):
    methods.run("grpo", 0, probe=())
    assert told(methods) is None
    methods.run("riser", 0)
    assert [*told(methods)] == ["grpo", "riser", "sft_continued"]
    monkeypatch.setattr("mllmrec.comparison.study.MANY", 2)
    assert told(methods) is None


def test_it_is_part_of_a_comparison(methods):
    methods.run("grpo", 0)
    methods.run("riser", 0)
    data = build(methods.runs(), options(metrics=["ndcg@2"], primary=KEY), "A study")
    assert [one["name"] for one in data["study"]["lines"]] == ["grpo", "riser", "sft_continued"]
    assert data["study"]["metric"] == "ndcg@2" and data["study"]["base"] == "sft"
