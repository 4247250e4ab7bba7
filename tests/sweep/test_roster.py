"""The list of runs: no point twice, every seed, and results that are numbers of the metric."""

import math

import pytest

from mllmrec import launches
from mllmrec.errors import Refusal
from mllmrec.sweep.frozen import Frozen
from mllmrec.sweep.points import Run, note, noted
from mllmrec.sweep.reading import parse
from mllmrec.sweep.roster import JOURNAL, Roster
from mllmrec.sweep.table import again, rows
from tests.sweep.files import tree

METRIC = "prepare/oracle/uni9/ndcg@5"


def roster(folder, *, at_once=1, **more):
    """A sweep's list, of which nothing is composed; what its journal holds is there again."""
    sweep = Frozen(folder=folder, name="s", question="q", grammar=parse(tree(**more), "s"),
                   words=(), began="", conf=folder, places=())  # fmt: skip

    def prepare(number, values, own):
        words = tuple(f"{name}={value}" for name, value in values.items())
        return Run(number=number, values=values, words=words, folder=own)

    made = Roster(frozen=sweep, prepare=prepare, seed=1, at_once=at_once, trials=None)
    made.load()
    return made


def finish(made, run, value, name=METRIC):
    with launches.told(
        run.folder, config={"goal": "prepare"}, overrides=[], store=run.folder
    ) as one:
        one.told["columns"] = {name: value}
    return made.look(run)


def search(made):
    """Choose and finish points until there are no more."""
    while made.choose(lambda run: made.states[run.number] == "finished"):
        assert len(made.runs) < 30
        for run in made.waiting():
            finish(made, run, float(run.values["a"]))


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_search_of_few_points_has_each_once_and_ends(tmp_path, method):
    more = {"method": method, "run_cap": 6, "parameters": {"a": {"values": [1, 2, 3]}}}
    made = roster(tmp_path, **more)
    assert made.total == 6
    search(made)
    assert sorted(run.values["a"] for run in made.runs) == [1, 2, 3]
    assert made.is_spent and made.total == 3
    repeated = roster(tmp_path, **more)
    search(repeated)
    assert [r.values for r in repeated.runs] == [r.values for r in made.runs]
    assert len(noted(tmp_path / JOURNAL)) == 3
    assert "a=3" in again(rows(made), 1) and "-m" not in again(rows(made), 1)


def test_a_journal_that_names_a_point_twice_is_refused(tmp_path):
    for number in (0, 1):
        note(tmp_path / JOURNAL, {"number": number, "values": {"a": 1}})
    with pytest.raises(Refusal, match="twice"):
        roster(tmp_path, method="random", run_cap=3, parameters={"a": {"values": [1, 2]}})


def test_a_value_that_a_grid_names_twice_is_one_run(tmp_path):
    made = roster(tmp_path, parameters={"a": {"values": [3, 3]}, "seed": {"values": [1, 1]}})
    assert [run.values for run in made.runs] == [{"a": 3, "seed": 1}]


def test_the_one_seed_of_a_search_is_on_its_command_line(tmp_path):
    parameters = {"a": {"min": 1, "max": 9}, "seed": {"value": 7}}
    made = roster(tmp_path, method="bayes", run_cap=2, parameters=parameters)
    search(made)
    assert len(made.runs) == 2 and all("seed=7" in run.words for run in made.runs)


def test_a_value_that_is_no_number_is_no_result(tmp_path):
    """Of the second point of four; the search goes on, and what is a number stands in order."""
    more = {"method": "bayes", "run_cap": 4, "parameters": {"a": {"min": 1, "max": 99}}}
    made = roster(tmp_path, **more)
    while made.choose(lambda run: made.states[run.number] == "finished"):
        run = made.runs[-1]
        assert finish(made, run, math.nan if run.number == 1 else float(run.number)) == "finished"
    assert [row.mean for row in rows(made)] == [3.0, 2.0, 0.0, None]
    assert rows(made)[-1].state == "no result" and made.best()[1] == 3.0
    repeated = roster(tmp_path, **more)
    assert repeated.states == ["finished"] * 4 and repeated.values == made.values


def test_a_run_without_the_metrics_column_waits_when_the_sweep_is_repeated(tmp_path):
    made = roster(tmp_path)
    with pytest.raises(Refusal, match="no such column"):
        finish(made, made.runs[0], 1.0, "prepare/users")
    assert made.states == ["waiting", "waiting"] == roster(tmp_path).states


def test_seeds_of_grpo_are_averaged_over_like_those_of_the_top(tmp_path):
    parameters = {"a": {"values": [1, 2]}, "grpo.seed": {"values": [0, 1, 2]}}
    made = roster(tmp_path, parameters=parameters)
    for run in made.runs:
        finish(made, run, run.values["a"] + 0.1 * run.values["grpo.seed"])
    best, other = rows(made)
    assert (best.values, best.seeds, best.mean) == ({"a": 2}, 3, pytest.approx(2.1))
    assert best.high - best.mean == pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4)  # Student's
    assert other.values == {"a": 1}
    assert "-m a=2 grpo.seed=0,1,2 threads=1" in again([best, other], 1)
