"""Tables from ranks that were written by hand: means, comparisons, and what is left out."""

import json
import math

import polars as pl
import pytest

from mllmrec.errors import Refusal
from mllmrec.policy.listing import hear
from mllmrec.policy.ranked import check_same_samples, read_ranks
from mllmrec.stage.base import Job
from mllmrec.stage.rank import write_lists
from tests.launching import config, ids, launch

LOG3 = 1 / math.log2(3)  # NDCG of rank 2


def evaluate(tmp_path, ranks, *, protocols=("uni9",), sizes=(10,), **over):
    """Results of hand-made ranks: {policy: ranks of the target}, the same under each protocol.

    The target is 0, and the other candidates stand around it in their order.
    """
    inputs = {}
    for policy, places in ranks.items():
        inputs[policy] = tmp_path / policy
        inputs[policy].mkdir()
        for protocol, size in zip(protocols, sizes, strict=True):
            others = [str(i) for i in range(1, size)]
            ranked = [[*others[: p - 1], "0", *others[p - 1 :]] for p in places]
            rows = {"ranked": ranked, "rank": places}
            rows["sample_id"] = [f"u{i}:3" for i in range(len(places))]
            pl.DataFrame(rows).write_parquet(inputs[policy] / f"{protocol}.parquet")
    knobs = {"protocols": list(protocols), "policies": list(ranks), **over}
    stage = config().goal.model_copy(update=knobs)
    metrics = stage.run(Job(out=tmp_path, inputs=inputs, groups={}, seed=0))
    return metrics, json.loads((tmp_path / "results.json").read_text())


def test_means_by_hand(tmp_path):
    """Ranks 1, 2, 4, 10 of 10 candidates."""
    metrics, results = evaluate(tmp_path, {"sft": [1, 2, 4, 10]}, k=[1, 3, 5, 10])
    named = {name: metrics[f"sft/uni9/{name}"] for name in ("hr@1", "hr@3", "hr@5")}
    assert named == {"hr@1": 0.25, "hr@3": 0.5, "hr@5": 0.75}
    assert metrics["sft/uni9/mrr"] == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 10) / 4)
    assert metrics["sft/uni9/ndcg@1"] == 0.25
    assert metrics["sft/uni9/ndcg@3"] == pytest.approx((1 + LOG3) / 4)
    assert metrics["sft/uni9/ndcg@5"] == pytest.approx((1 + LOG3 + 1 / math.log2(5)) / 4)
    table = results["protocols"]["uni9"]
    assert (table["candidates"], table["samples"]) == (10, 4)
    for said in table["policies"]["sft"].values():
        assert said["low"] <= said["mean"] <= said["high"]


def test_a_k_of_all_candidates_is_left_out_and_said(tmp_path):
    metrics, results = evaluate(
        tmp_path, {"sft": [1, 2]}, protocols=("uni9", "uni99"), sizes=(10, 100), k=[5, 10]
    )
    assert "sft/uni9/hr@10" not in metrics and metrics["sft/uni99/hr@10"] == 1.0
    assert results["left_out"] == {"uni9": [10], "uni99": []}


def test_no_admissible_k_is_refused(tmp_path):
    with pytest.raises(Refusal, match="no K of"):
        evaluate(tmp_path, {"sft": [1, 2]}, k=[10, 20])


def test_verdicts_of_paired_comparisons(tmp_path):
    """Always first against always last, and against itself; absent policies are passed by."""
    first, last = [1] * 40, [10] * 40
    compare = [("sft", "random"), ("random", "sft"), ("sft", "grpo"), ("sft", "backbone")]
    _, results = evaluate(
        tmp_path, {"sft": first, "random": last, "grpo": first}, k=[1, 5], compare=compare
    )
    said = {(d["first"], d["second"]): d for d in results["differences"]}
    assert len(said) == 3
    above, below, same = (said[pair] for pair in compare[:3])
    assert (above["verdict"], above["mean"], above["low"], above["high"]) == ("above", 1, 1, 1)
    assert (below["verdict"], below["mean"]) == ("below", -1)
    assert (same["verdict"], same["mean"], same["p"]) == ("not distinguishable", 0, 1)
    assert above["metric"] == "ndcg@5" and above["p"] == pytest.approx(2 / 2001)


def test_comparisons_are_at_the_largest_k_up_to_compare_k(tmp_path):
    ranks = {"sft": [1, 2] * 5, "random": [3, 4] * 5}
    _, results = evaluate(tmp_path, ranks, k=[1, 3, 5], compare=[("sft", "random")], compare_k=4)
    (said,) = results["differences"]
    assert said["metric"] == "ndcg@3"
    assert said["mean"] == pytest.approx((1 + LOG3 - 0.5 - 0) / 2)


def test_pairs_are_of_the_same_samples(tmp_path):
    """Two policies whose means are equal, each better on half of the samples, differ by nothing."""
    ranks = {"sft": [1, 2] * 20, "random": [2, 1] * 20}
    _, results = evaluate(tmp_path, ranks, k=[5], compare=[("sft", "random")])
    (said,) = results["differences"]
    assert said["verdict"] == "not distinguishable" and said["mean"] == 0
    assert said["low"] < 0 < said["high"]


def test_policies_that_ranked_other_samples_are_not_compared(tmp_path):
    evaluate(tmp_path, {"sft": [1, 2], "random": [2, 1]}, k=[1])
    file = tmp_path / "random" / "uni9.parquet"
    table = pl.read_parquet(file)
    table.with_columns(sample_id=table["sample_id"].reverse()).write_parquet(file)
    ranks = {p: read_ranks(tmp_path / p, ["uni9"]) for p in ("sft", "random")}
    with pytest.raises(Refusal, match="not ranked on the same samples"):
        check_same_samples(ranks, "uni9")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"candidates": ["0", "x", "2", "3"], "target": "0"}, "another candidates"),
        ({"candidates": ["0", "1", "2", "3"], "target": "1"}, "another target"),
        ({"candidates": ["0", "1", "2"], "target": "0"}, "another number of candidates"),
    ],
)
def test_the_same_ids_with_other_questions_are_not_the_same_samples(tmp_path, change, said):
    evaluate(tmp_path, {"sft": [1, 2], "random": [2, 1]}, sizes=(4,), k=[1])
    ranked = change["candidates"]
    rows = {"ranked": [ranked] * 2, "rank": [ranked.index(change["target"]) + 1] * 2}
    rows["sample_id"] = ["u0:3", "u1:3"]
    pl.DataFrame(rows).write_parquet(tmp_path / "random" / "uni9.parquet")
    ranks = {p: read_ranks(tmp_path / p, ["uni9"]) for p in ("sft", "random")}
    with pytest.raises(Refusal, match=rf"uni9: random and sft were not .* \({said}\)"):
        check_same_samples(ranks, "uni9")


def test_a_written_list_is_held_to_the_number_of_candidates_alone(tmp_path):
    written(tmp_path, TEXTS)
    (tmp_path / "other").mkdir()
    table = pl.read_parquet(tmp_path / "sft" / "uni3.parquet")
    few = table.with_columns(candidates=pl.col("candidates") - 1)
    few.write_parquet(tmp_path / "other" / "uni3.parquet")
    ranks = {p: read_ranks(tmp_path / p, ["uni3"]) for p in ("random", "sft", "other")}
    check_same_samples({name: ranks[name] for name in ("random", "sft")}, "uni3")
    with pytest.raises(Refusal, match=r"other and random .* number of candidates"):
        check_same_samples(ranks, "uni3")


def test_rows_keep_the_order_of_the_knob(tmp_path):
    _, results = evaluate(tmp_path, {"sft": [1, 2], "popularity": [1, 2], "grpo": [1, 2]}, k=[1])
    assert list(results["protocols"]["uni9"]["policies"]) == ["sft", "popularity", "grpo"]


def test_the_result_is_printed(tmp_path, capsys):
    ranks = {"sft": [1, 2] * 10, "random": [2, 1] * 10}
    evaluate(tmp_path, ranks, k=[1], compare=[("sft", "random")])
    config().goal.show(tmp_path)
    out = capsys.readouterr().out
    assert "uni9: 10 candidates, 20 test samples" in out
    assert "uni9: sft is not distinguishable from random in NDCG@1: +0.0000" in out


def test_a_handful_of_samples_gives_no_verdict(tmp_path):
    ranks = {"sft": [1] * 9, "random": [5] * 9}
    _, results = evaluate(tmp_path, ranks, k=[5], compare=[("sft", "random")])
    assert results["differences"] == [] and "only 9 test samples" in results["warnings"][0]


def test_it_stands_on_one_ranking_a_policy():
    """oracle is a row only where the dataset knows its own process."""
    goal, toy = config().goal, config()
    assert set(goal.inputs(toy)) == set(goal.policies)
    films = config("dataset=movietweetings")
    assert set(films.goal.inputs(films)) == set(goal.policies) - {"oracle"}


GENERATE = "evaluate.mode=generate"


def written(tmp_path, texts, **over):
    """Results where random ranks four candidates, and sft writes these texts; the target is d."""
    inputs = {policy: tmp_path / policy for policy in ("random", "sft")}
    for folder in inputs.values():
        folder.mkdir()
    size = len(texts)
    rows = {"sample_id": [str(n) for n in range(size)], "uni3": [["a", "b", "c", "d"]] * size}
    rows["target"] = ["d"] * size
    samples = pl.DataFrame(rows)
    lists = [hear(text, "abcd", "d", {"a": "A"}) for text in texts]
    write_lists(Job(out=inputs["sft"], inputs={}, groups={}, seed=0), "sft", "uni3", samples, lists)
    ranked = {"ranked": [["d", "a", "b", "c"]] * size, "rank": [1] * size}
    ranked["sample_id"] = rows["sample_id"]
    pl.DataFrame(ranked).write_parquet(inputs["random"] / "uni3.parquet")
    knobs = {"protocols": ["uni3"], "policies": ["random", "sft"], "k": [1, 2], **over}
    stage = config(GENERATE).goal.model_copy(update=knobs)
    metrics = stage.run(Job(out=tmp_path, inputs=inputs, groups={}, seed=0))
    return metrics, json.loads((tmp_path / "results.json").read_text())


TEXTS = [
    "[ITEM_d]\n[ITEM_a] A\n[ITEM_b]",  # rank 1
    "[ITEM_a] B\n[ITEM_z]\n[ITEM_d]\n[ITEM_z]",  # malformed, outside, rank 2, outside and repeated
    "[ITEM_a]\n[ITEM_b]",  # missed
    "I would recommend:\n\n",  # malformed, empty, missed
]


def test_lists_by_hand(tmp_path):
    """Ten lines: two malformed, one repeated, two outside; one sample of four is empty."""
    metrics, results = written(tmp_path, TEXTS)
    assert {name: value for name, value in metrics.items() if name.startswith("sft/")} == {
        "sft/uni3/hr@1": 0.25,
        "sft/uni3/hr@2": 0.5,
        "sft/uni3/ndcg@1": 0.25,
        "sft/uni3/ndcg@2": pytest.approx((1 + LOG3) / 4),
        "sft/uni3/mrr": pytest.approx((1 + 1 / 2) / 4),
        "sft/uni3/invalid": 0.2,
        "sft/uni3/repeated": 0.1,
        "sft/uni3/outside": 0.2,
        "sft/uni3/empty": 0.25,
    }
    table = results["protocols"]["uni3"]
    assert table["candidates"] == 4 and set(table["lists"]) == {"sft"}
    assert "random/uni3/invalid" not in metrics and metrics["random/uni3/hr@1"] == 1


def test_texts_are_kept(tmp_path):
    written(tmp_path, TEXTS)
    table = pl.read_parquet(tmp_path / "sft" / "uni3.parquet")
    assert table["text"].to_list() == TEXTS
    assert table["ranked"].to_list() == [["d", "a", "b"], ["z", "d", "z"], ["a", "b"], []]
    assert table["rank"].to_list() == [1, 2, 0, 0]


def test_what_is_wrong_with_lists_is_printed(tmp_path, capsys):
    written(tmp_path, TEXTS)
    config().goal.show(tmp_path)
    out = capsys.readouterr().out
    head, random, sft = (
        next(line for line in out.splitlines() if word in line)
        for word in ("INVALID", " random ", " sft ")
    )
    assert head.split()[-4:] == ["INVALID", "REPEATED", "OUTSIDE", "EMPTY"]
    assert sft.split()[-4:] == ["0.200", "0.100", "0.200", "0.250"]
    assert random.split()[-1].startswith("±")
    assert "shares of their lines" in out


def test_a_k_beyond_the_items_that_are_asked_for_is_left_out_and_said(tmp_path, capsys):
    generate = config().goal.generate.model_copy(update={"items": 2})
    _, results = written(tmp_path, TEXTS, k=[1, 2, 3], generate=generate)
    assert results["left_out"] == {"uni3": [3]}
    config().goal.show(tmp_path)
    assert "K = [3] left out" in (out := capsys.readouterr().out)
    assert "at most the 2 that are asked for" in out
    with pytest.raises(Refusal, match=r"no K of \[5, 10\] is within the 3 items") as refusal:
        config(GENERATE, "evaluate.generate.items=3", "evaluate.k=[5,10]")
    assert refusal.value.do == "type evaluate.generate.items=10, or evaluate.k=[3]"
    config("evaluate.generate.items=3", "evaluate.k=[5]")  # without lists it is of no concern


def test_only_models_of_a_chat_write_lists():
    made = config(GENERATE)
    asked = {policy for policy, rank in made.goal.inputs(made).items() if rank.generate}
    assert asked == {"backbone", "sft", "sft_continued", "grpo"}
    made = config()
    for rank in made.goal.inputs(made).values():  # as if the knob were not there
        assert rank.generate is None and "generate" not in rank.effective(made)["knobs"]


def changed(*words, since=()):
    before, after = ids(*since), ids(*words)
    return {label for label in after if before.get(label) != after[label]}


def test_how_lists_are_written_is_the_identity_of_those_who_write_them():
    written = {"rank backbone", "rank sft", "rank sft_continued", "rank grpo", "evaluate"}
    assert changed(GENERATE) == written
    for word in (
        "evaluate.generate.items=5",
        "evaluate.generate.max_new_tokens=99",
        "prompt.listing='{k}!'",
    ):
        assert changed(word) == set()
        assert changed(GENERATE, word, since=[GENERATE]) == written
    few = "evaluate.policies=[random,backbone_text]"
    assert changed(few, GENERATE, "evaluate.generate.items=5", since=[few]) == set()


def planted(tmp_path, **policies):
    """400 samples of ten candidates; (position, rank) of each target by policy."""
    inputs = {}
    for policy, rows in policies.items():
        inputs[policy] = tmp_path / policy
        inputs[policy].mkdir()
        others = [str(i) for i in range(1, 10)]
        table = {"ranked": [[*others[: r - 1], "0", *others[r - 1 :]] for _, r in rows]}
        table |= {"rank": [r for _, r in rows], "position": [p for p, _ in rows]}
        table["sample_id"] = [f"u{i}" for i in range(len(rows))]
        pl.DataFrame(table).write_parquet(inputs[policy] / "uni9.parquet")
    knobs = {"protocols": ["uni9"], "policies": [*policies], "k": [1, 3], "compare": []}
    stage = config().goal.model_copy(update=knobs)
    metrics = stage.run(Job(out=tmp_path, inputs=inputs, groups={}, seed=0))
    return metrics, json.loads((tmp_path / "results.json").read_text())


def test_a_model_that_reads_by_place_is_told_and_one_that_does_not_is_not(tmp_path, capsys):
    """sft puts the first three of the list on top; grpo's hits are every third's, anywhere."""
    places = [n % 10 for n in range(400)]
    biased = [(p, 1 if p < 3 else 5) for p in places]
    even = [(p, 1 if n // 10 % 3 == 0 else 5) for n, p in enumerate(places)]
    _, results = planted(tmp_path, popularity=biased, sft=biased, grpo=even)
    table = results["protocols"]["uni9"]
    assert table["positions"]["sft"]["hr@1"]["rates"] == [1.0] * 3 + [0.0] * 7
    assert table["positions"]["sft"]["hr@1"]["p"] < 1e-9 < table["positions"]["grpo"]["hr@1"]["p"]
    (line,) = table["dependence"]  # what reads no list has hits by place by chance alone
    assert "hits of sft" in line
    config().goal.show(tmp_path)
    assert line in capsys.readouterr().out.replace("\n", " ")
    rows = json.loads((tmp_path / "report.json").read_text())["positions"]
    assert len(rows) == 3 * 10
    assert {row["hr@1"] for row in rows if row["policy"] == "sft"} == {0.0, 1.0}


def test_a_trained_policy_below_popularity_is_warned_of(tmp_path, caplog, capsys):
    ranks = {"popularity": [1, 2] * 30, "sft": [9, 10] * 30, "grpo": [2, 1] * 30, "backbone": [10]}
    ranks["backbone"] *= 60
    _, results = evaluate(tmp_path, ranks, k=[1, 3], compare=[])
    (warning,) = results["warnings"]
    assert warning.startswith("uni9: sft is BELOW popularity in NDCG@3")
    assert warning in caplog.text
    assert [line for line in results["notes"] if "grpo not distinguishable from popularity" in line]
    config().goal.show(tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert f"WARNING: {warning}" in out and "type prepare.protocols=[uni9,pop9] evaluate" in out


def test_the_whole_catalogue_is_a_protocol_of_its_own(tmp_path, capsys):
    """Cut rankings: the rank lies beyond them, candidates are as many as the table says."""
    inputs = {}
    for policy, ranks in (("popularity", [1, 700]), ("sft", [30, 0])):
        inputs[policy] = tmp_path / policy
        inputs[policy].mkdir()
        table = {"sample_id": ["u0", "u1"], "target": ["a", "b"], "ranked": [["a", "c"], ["d"]]}
        table |= {"rank": ranks, "candidates": [1000, 990]}
        pl.DataFrame(table).write_parquet(inputs[policy] / "full.parquet")
    way = config().goal.full.model_copy(update={"method": "beam"})
    knobs = {"protocols": ["full"], "policies": [*inputs], "k": [1, 10, 50], "full": way}
    stage = config().goal.model_copy(update=knobs)
    metrics = stage.run(Job(out=tmp_path, inputs=inputs, groups={}, seed=0))
    assert metrics["popularity/full/hr@10"] == 0.5 and metrics["sft/full/hr@50"] == 0.5
    assert metrics["sft/full/mrr"] == pytest.approx(1 / 60)
    assert metrics["sft/full/found"] == 0.5 and "popularity/full/found" not in metrics
    table = json.loads((tmp_path / "results.json").read_text())["protocols"]["full"]
    assert table["candidates"] == 1000 and table["positions"] == {}
    stage.show(tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert "full: the whole catalogue, up to 1000 candidates, 2 test samples" in out
    assert "FOUND is the share of targets that the beam search found" in out


FULL = "evaluate.protocols=[uni9,full]"


def test_what_wants_a_list_is_refused_of_the_whole_catalogue():
    config("prepare.protocols=[uni9]", FULL)
    with pytest.raises(Refusal, match="no candidates to make a list of"):
        config("prepare.protocols=[uni9]", FULL, GENERATE)
    with pytest.raises(Refusal, match="full lists no candidates"):
        config("evaluate.protocols=[full]", "evaluate.permutations=2")
    with pytest.raises(Refusal, match="no candidates are drawn for uni5"):
        config("evaluate.protocols=[uni5,full]")
    with pytest.raises(Refusal, match="drawn for hard7"):
        config("evaluate.protocols=[hard7]")


def test_the_oracle_is_no_policy_where_nothing_is_drawn():
    made = config("evaluate.protocols=[full]")
    assert "oracle" not in made.goal.inputs(made)
    with pytest.raises(Refusal, match="it knows drawn candidates alone"):
        config("prepare.protocols=[uni9]", FULL, "evaluate.policies=[oracle]")


def test_other_orders_are_rankings_of_those_who_read_the_list():
    made = config("evaluate.permutations=2", "evaluate.permuted_samples=150")
    orders = {name: rank for name, rank in made.goal.inputs(made).items() if rank.permutation}
    readers = ("backbone", "sft", "sft_continued", "grpo")
    assert {*orders} == {f"{policy} order {n}" for policy in readers for n in (1, 2)}
    assert {rank.policy for rank in orders.values()} == {*readers}
    assert orders["sft order 2"].permutation == 2
    assert orders["sft order 2"].samples == {"uni9": 150, "uni99": 150, "pop9": 150}
    plain = made.goal.inputs(made)["sft"]
    assert plain.samples["uni9"] == 1000 and not plain.permutation


def test_knobs_that_do_nothing_are_no_identity():
    """A way to rank the catalogue that is not ranked, samples of no permutation."""
    assert changed("evaluate.full.method=beam", "evaluate.permuted_samples=7") == set()
    full = ["prepare.protocols=[uni9]", FULL]
    models = {"backbone", "backbone_text", "sft", "sft_continued", "grpo"}
    beam = changed(*full, "evaluate.full.method=beam", since=full)
    assert beam == {f"rank {policy}" for policy in models} | {"evaluate"}
    assert changed(*full, "evaluate.full.beam=7", since=full) == set()
    told = {"rank sft order 1", "rank grpo order 1", "rank backbone order 1"}
    assert changed("evaluate.permutations=1") == told | {"rank sft_continued order 1", "evaluate"}


@pytest.mark.slow
def test_the_command_line_ranks_the_whole_catalogue_and_other_orders(tmp_path):
    debug = ("experiment=debug", "threads=1", "tracking=off", "dataset.poster_size=16", FULL)
    policies = "evaluate.policies=[random,popularity,oracle,backbone_text,sft]"
    words = (*debug, policies, "evaluate.compare=[]", "evaluate.permutations=1")
    done = launch(*words, "stage=evaluate", cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = tmp_path.rglob("results.json")
    found = json.loads(file.read_text())["protocols"]
    assert set(found) == {"uni9", "full"}
    assert set(found["uni9"]["policies"]) - set(found["full"]["policies"]) == {"oracle"}
    assert set(found["uni9"]["permutations"]) == {"sft"}
    assert "sft over 2 orders of 60 samples" in " ".join(done.stdout.split())
    exact = {a: b["hr@10"]["mean"] for a, b in found["full"]["policies"].items()}
    wide = "evaluate.full={method:beam,by:id,beam:500}"
    done = launch(*words, wide, "stage=evaluate", cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    files = {*tmp_path.rglob("results.json")} - {file}
    found = json.loads(files.pop().read_text())["protocols"]["full"]
    assert {a: b["hr@10"]["mean"] for a, b in found["policies"].items()} == pytest.approx(exact)
    assert found["lists"] == {"backbone_text": {"found": 1.0}, "sft": {"found": 1.0}}
