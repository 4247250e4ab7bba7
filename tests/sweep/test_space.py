"""The points: a grid as W&B's own code expands it, a search that goes on as it would have gone."""

import json
from pathlib import Path

import pytest

from mllmrec.sweep.reading import parse, read
from mllmrec.sweep.space import Tried, apart, grid, suggested, words_of
from tests.launching import ROOT
from tests.sweep.files import tree

ANSWERS = json.loads((Path(__file__).parent / "wandb_answers.json").read_text())  # see record.py
SHIPPED = sorted((ROOT / "sweeps").glob("*.yaml"))
SEARCH = {
    "rate": {"distribution": "log_uniform_values", "min": 1.0e-5, "max": 1.0e-2},
    "depth": {"min": 1, "max": 8},
    "share": {"min": 0.0, "max": 1.0},
    "step": {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25},
    "kind": {"values": ["a", "b", "c"]},
    "fixed": {"value": 7},
}


def search(method="bayes", **more):
    return parse(tree(method=method, run_cap=50, parameters={**SEARCH, **more}), "mine")


def test_every_shipped_file_was_answered():
    said = "a file of sweeps/ is new: see tests/sweep/record.py"
    assert set(ANSWERS["shipped"]) == {path.stem for path in SHIPPED}, said


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_file_has_the_points_that_wandb_gives_it(path):
    said = "sweeps/ has changed: see tests/sweep/record.py"
    assert grid(read(path)[1]) == ANSWERS["shipped"][path.stem], said


@pytest.mark.parametrize("case", ANSWERS["made_up"])
def test_grids_of_all_kinds_are_those_of_wandb(case):
    made = parse(tree(parameters=case["parameters"]), "mine")
    assert grid(made) == case["points"] and len(case["points"]) > 3


def test_words_are_those_of_wandbs_agent():
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    values = {"a.b": 1.0e-5, "c": True, "d": "x", "e": [1, "y"], "f": 3}
    theirs = create_sweep_command_args({"args": {k: {"value": v} for k, v in values.items()}})
    assert words_of(values) == theirs["args_no_hyphens"]


def test_a_point_is_told_without_its_seed():
    assert apart({"a": 1, "seed": 3}) == {"a": 1} == apart({"a": 1, "grpo.seed": 3})


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_search_stays_within_its_space(method):
    tried = []
    for number in range(12):
        values = suggested(search(method), tried, number, seed=0)
        assert 1e-5 <= values["rate"] <= 1e-2 and values["depth"] in range(1, 9)
        assert 0 <= values["share"] <= 1 and values["step"] in (0, 0.25, 0.5, 0.75, 1)
        assert values["kind"] in ("a", "b", "c") and values["fixed"] == 7
        tried.append(Tried(values=values, found=values["share"]))
    assert len({one.values["rate"] for one in tried}) == 12


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_the_same_history_gives_the_same_point(method):
    tried = [
        Tried(values=suggested(search(method), [], n, seed=0), found=float(n)) for n in range(7)
    ]
    tried.append(Tried(values=tried[0].values, found=None))  # still running
    tried.append(Tried(values=tried[1].values, found=None, looks={0: 0.1, 1: 0.2}))  # stopped
    one, two = (suggested(search(method), tried, 9, seed=0) for _ in range(2))
    assert one == two != suggested(search(method), tried, 9, seed=1)


def test_a_search_closes_in_on_what_was_good():
    """After twenty points TPE draws nearer to the peak at 0.5 than chance, whose mean is 0.25."""
    asked, tried = search(), []
    for number in range(30):
        values = suggested(asked, tried, number, seed=3)
        tried.append(Tried(values=values, found=-abs(values["share"] - 0.5)))
    late = [-one.found for one in tried[20:]]
    assert sum(late) / len(late) < 0.15


def test_what_is_looked_for_may_be_small():
    asked = parse(
        tree(method="bayes", parameters=SEARCH, metric={"name": "a/b", "goal": "minimize"}), "mine"
    )
    tried = []
    for number in range(30):
        values = suggested(asked, tried, number, seed=3)
        tried.append(Tried(values=values, found=abs(values["share"] - 0.5)))
    late = [one.found for one in tried[20:]]
    assert sum(late) / len(late) < 0.15
