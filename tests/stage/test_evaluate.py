"""Tables from ranks that were written by hand: means, comparisons, and what is left out."""

import json
import math

import polars as pl
import pytest

from mllmrec.errors import Refusal
from mllmrec.stage.base import Job
from mllmrec.stage.evaluate import check_same_samples, read_ranks
from tests.launching import config

LOG3 = 1 / math.log2(3)  # NDCG of rank 2


def evaluate(tmp_path, ranks, *, protocols=("uni9",), sizes=(10,), **over):
    """Results of hand-made ranks: {policy: ranks of the target}, the same under each protocol."""
    inputs = {}
    for policy, places in ranks.items():
        inputs[policy] = tmp_path / policy
        inputs[policy].mkdir()
        for protocol, size in zip(protocols, sizes, strict=True):
            rows = {"ranked": [[str(i) for i in range(size)]] * len(places), "rank": places}
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
    ranks = {"sft": [1, 2], "random": [3, 4]}
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


def test_rows_keep_the_order_of_the_knob(tmp_path):
    _, results = evaluate(tmp_path, {"sft": [1, 2], "popularity": [1, 2], "grpo": [1, 2]}, k=[1])
    assert list(results["protocols"]["uni9"]["policies"]) == ["sft", "popularity", "grpo"]


def test_the_result_is_printed(tmp_path, capsys):
    evaluate(tmp_path, {"sft": [1, 2], "random": [2, 1]}, k=[1], compare=[("sft", "random")])
    config().goal.show(tmp_path)
    out = capsys.readouterr().out
    assert "uni9: 10 candidates, 2 test samples" in out
    assert "uni9: sft is not distinguishable from random in NDCG@1: +0.0000" in out


def test_it_stands_on_one_ranking_a_policy():
    """oracle is a row only where the dataset knows its own process."""
    goal, toy = config().goal, config()
    assert set(goal.inputs(toy)) == set(goal.policies)
    films = config("dataset=movietweetings")
    assert set(films.goal.inputs(films)) == set(goal.policies) - {"oracle"}
