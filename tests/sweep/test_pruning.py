"""Early termination, held against the answers of W&B's own code."""

import json
from pathlib import Path

import pytest

from mllmrec.sweep.grammar import Hyperband
from mllmrec.sweep.pruning import bands, behind, watched

ANSWERS = json.loads((Path(__file__).parent / "wandb_answers.json").read_text())  # see record.py


@pytest.mark.parametrize("case", ANSWERS["stopped"])
def test_the_same_runs_are_stopped_as_by_wandb(case):
    rule = Hyperband(type="hyperband", **case["rule"])
    running = [n for n, state in enumerate(case["states"]) if state == "running"]
    found = behind(dict(enumerate(case["looks"])), running, rule, case["goal"])
    assert sorted(found) == case["stopped"]


def test_the_answers_stop_some_and_leave_others():
    counts = [len(case["stopped"]) for case in ANSWERS["stopped"]]
    assert 0 in counts and max(counts) >= 3


def test_the_bands_of_a_rule():
    assert bands(Hyperband(type="hyperband", min_iter=3, eta=2))[:4] == [3, 6, 12, 24]
    assert bands(Hyperband(type="hyperband", max_iter=27, s=2)) == [3, 9]
    assert bands(Hyperband(type="hyperband", max_iter=4, s=5, eta=2)) == [1, 2]


def test_one_that_is_behind_is_told_by_how_much():
    rule = Hyperband(type="hyperband", min_iter=2, eta=2)
    looks = {0: [0.5, 0.6], 1: [0.1, 0.2], 2: [0.4, 0.4]}
    found = behind(looks, [1], rule, "maximize")
    assert found == {
        1: "after 2 looks of the probe 0.2000, where 0.4000 is the bar of the best 1/2"
    }
    assert behind(looks, [0, 2], rule, "maximize") == {}


def test_nobody_is_stopped_before_the_first_band():
    rule = Hyperband(type="hyperband", min_iter=3)
    assert behind({0: [0.9, 0.9], 1: [0.0, 0.0]}, [1], rule, "maximize") == {}


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("grpo/probe/ndcg@5", "grpo/probe/ndcg@5"),
        ("sft/probe/mrr", "sft/probe/mrr"),
        ("eval/grpo/uni9/hr@3", "grpo/probe/ndcg@5"),
        ("eval/sasrec/uni9/hr@3", None),
        ("prepare/users", None),
        ("grpo/reward", None),
    ],
)
def test_what_is_looked_at_while_a_run_goes_on(metric, name):
    assert watched(metric) == name
