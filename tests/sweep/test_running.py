"""A sweep's runs followed: their places, their ends, and what a run's end means to others."""

import json
from contextlib import suppress
from dataclasses import dataclass

from mllmrec import probed
from mllmrec.errors import Refusal
from mllmrec.sweep.running import Runner
from tests.sweep.test_roster import METRIC, finish, roster

PROBE = "grpo/probe/ndcg@5"
PROBED = {
    "metric": {"name": PROBE, "goal": "maximize"},
    "early_terminate": {"type": "hyperband", "min_iter": 1},
    "parameters": {"a": {"values": [1, 2, 3]}, "seed": {"values": [1, 2, 3]}},
}


@dataclass
class FakeJob:
    """A job that is over as soon as it is looked at, or once it was stopped."""

    place: int | None = None
    is_done: bool = True
    at_stop: object = None

    def is_over(self):
        return self.is_done

    def stop(self):
        self.is_done = True
        if self.at_stop:
            self.at_stop()


class FakeExecutor:
    """Runs that do at their beginning what ``act`` does."""

    threads, said = 1, "fake"

    def __init__(self, act=None, places=2, there=None):
        self.act, self.places, self.there, self.started = act, places, there or {}, []

    def start(self, run, words, place):
        self.started.append((run.number, place))
        return self.act(run) or FakeJob(place)

    def find(self, run):
        return self.there.get(run.number)


def runner(made, executor, minutes=None):
    return Runner(roster=made, executor=executor, minutes=minutes, is_strict=False,
                  tell=lambda: None, words=lambda run: [])  # fmt: skip


def test_runs_that_still_go_on_keep_their_own_places(tmp_path):
    made = roster(tmp_path, parameters={"a": {"values": [1, 2, 3, 4]}})
    there = {1: FakeJob(None), 2: FakeJob(2), 3: FakeJob(1)}
    work = runner(made, FakeExecutor(places=3, there=there))
    work.adopt()
    assert {n: one.place for n, one in work.begun.items()} == {1: 0, 2: 2, 3: 1}
    assert work.free == set()


def test_a_run_without_the_metrics_column_fails_alone(tmp_path):
    made = roster(tmp_path)

    def act(run):
        with suppress(Refusal):
            finish(made, run, 0.5, METRIC if run.number else "prepare/users")

    work = runner(made, FakeExecutor(act))
    work.work()
    assert "no such column" in work.failed[0] and [*work.failed] == [0]
    assert made.values == {1: 0.5}


def test_a_run_that_is_done_as_its_time_is_up_has_not_failed(tmp_path):
    made = roster(tmp_path, parameters={"a": {"values": [1]}})

    def act(run):
        return FakeJob(0, is_done=False, at_stop=lambda: finish(made, run, 0.5))

    work = runner(made, FakeExecutor(act), minutes=1e-9)
    work.work()
    assert work.failed == {} and made.values == {0: 0.5}


def look(run, *values):
    run.folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"step": n, PROBE: value}) for n, value in enumerate(values)]
    (run.folder / probed.PROBE).write_text("\n".join(lines) + "\n")


def stopped(made):
    return [run.number for run in made.runs if (run.folder / probed.STOP).exists()]


def test_the_seeds_of_a_point_are_stopped_together_and_by_their_mean(tmp_path):
    """Each alone, two seeds of the best point and one of the second would be stopped too."""
    made = roster(tmp_path, **PROBED)
    values = [0.90, 0.50, 0.52, 0.55, 0.54, 0.53, 0.40, 0.41, 0.42]
    for run, value in zip(made.runs, values, strict=True):
        look(run, value)
    work = runner(made, FakeExecutor(places=9))
    for run in made.runs:
        work.follow(run, FakeJob(run.number, is_done=False), run.number)
    work.prune()
    assert stopped(made) == [6, 7, 8]


def test_a_point_with_a_seed_to_come_is_not_judged(tmp_path):
    made = roster(tmp_path, **PROBED)
    for run in made.runs[:8]:
        look(run, 0.9 if run.number < 3 else 0.1)
    work = runner(made, FakeExecutor(places=9))
    for run in made.runs[:8]:
        work.follow(run, FakeJob(run.number, is_done=False), run.number)
    work.prune()
    assert stopped(made) == [3, 4, 5]


def test_once_a_run_was_stopped_its_other_seeds_end_and_do_not_begin(tmp_path):
    made = roster(tmp_path, **PROBED)
    look(made.runs[0], 0.1)
    (made.runs[0].folder / probed.STOP).write_text("behind\n")
    made.look(made.runs[0])
    assert made.states[0] == "stopped"
    work = runner(made, FakeExecutor(places=9))
    work.follow(made.runs[1], FakeJob(0, is_done=False), 0)
    work.prune()
    assert stopped(made) == [0, 1, 2]
    assert made.states[:4] == ["stopped", "running", "stopped", "waiting"]
    assert "another seed was" in made.runs[2].why
