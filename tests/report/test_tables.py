"""What the terminal shows: numbers as people read them, in an order that they expect."""

import pytest

from mllmrec.artifacts import Store
from mllmrec.report.tables import cell, human, place, print_plan, print_results, sentence
from tests.launching import steps


@pytest.mark.parametrize(
    ("size", "said"),
    [
        *((0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (2**20, "1.0 MiB")),
        *((5 * 2**30, "5.0 GiB"), (3 * 2**40, "3.0 TiB"), (5000 * 2**40, "5000.0 TiB")),
    ],
)
def test_sizes(size, said):
    assert human(size) == said


def test_metrics_are_ordered_by_kind_and_then_by_k():
    names = ["mrr", "ndcg@5", "hr@10", "ndcg@10", "hr@5", "hr@1"]
    assert sorted(names, key=place) == ["hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr"]


def test_a_mean_with_half_of_its_interval():
    assert cell({"mean": 0.5, "low": 0.4, "high": 0.6}) == "0.500 ±0.100"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("above", "uni9: grpo is above sft in NDCG@5: +0.0250 [+0.0100, +0.0400], p = 0.001"),
        ("below", "uni9: grpo is BELOW sft in NDCG@5:"),
        ("not distinguishable", "uni9: grpo is not distinguishable from sft in NDCG@5:"),
    ],
)
def test_a_comparison_in_words(verdict, said):
    line = {"protocol": "uni9", "first": "grpo", "second": "sft", "metric": "ndcg@5"}
    numbers = {"mean": 0.025, "low": 0.01, "high": 0.04, "p": 0.001}
    assert sentence({**line, **numbers, "verdict": verdict}).startswith(said)


def test_results_are_printed_by_protocol(capsys):
    value = {"mean": 0.5, "low": 0.4, "high": 0.6}
    metrics = {"mrr": value, "hr@1": value}
    table = {"candidates": 10, "samples": 7, "policies": {"random": metrics, "sft": metrics}}
    results = {"protocols": {"uni9": table}, "differences": []}
    print_results({**results, "left_out": {"uni9": [10]}})
    out = capsys.readouterr().out
    assert "uni9: 10 candidates, 7 test samples" in out
    assert out.index("HR@1") < out.index("MRR") and out.index("random") < out.index("sft")
    assert out.count("0.500 ±0.100") == 4
    assert "uni9: K = [10] left out" in out


def test_a_table_without_lists_says_nothing_of_them(capsys):
    metrics = {"mrr": {"mean": 0.5, "low": 0.4, "high": 0.6}}
    table = {"candidates": 10, "samples": 7, "policies": {"sft": metrics}}
    told = {"protocols": {"uni9": table}, "differences": [], "left_out": {}}
    print_results(told)
    before = capsys.readouterr().out
    print_results({**told, "protocols": {"uni9": {**table, "lists": {}}}, "asked": None})
    assert capsys.readouterr().out == before and "INVALID" not in before


def test_a_plan_lists_steps_and_what_was_dropped(tmp_path, capsys):
    planned = steps(Store(root=tmp_path), "stage=sft", "prompt.captions=false", "cot_prob=0")
    print_plan(planned, ("grpo", "merge"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["prepare", "pretrain", "sft"]
    assert lines[3].split()[1:] == [planned[0].id, "build", "not", "built", "yet"]
    assert lines[-1] == "set by the experiment, not part of this goal: grpo, merge"
