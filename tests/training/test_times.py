"""What a training takes: charted, kept for the manifest, and never where bytes must repeat."""

import time
from types import SimpleNamespace

import pytest

from mllmrec.training.clock import Clock
from mllmrec.training.session import kept, last_of
from mllmrec.training.times import POINTS, course


def state(*history):
    return SimpleNamespace(log_history=[*history])


@pytest.fixture
def processor(monkeypatch):
    """The seconds that this process has had, set by hand."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(time, "process_time", lambda: now.seconds)
    return now


def step(clock, processor, seconds):
    clock.on_step_begin(None, None, None)
    processor.seconds += seconds
    clock.on_step_end(None, None, None)


def logged(clock, at):
    logs = {"loss": 1.0}
    at.log_history.append({**logs, "step": len(at.log_history) + 1})
    clock.on_log(None, at, None, logs=logs)
    assert logs["cpu_seconds"] == at.log_history[-1]["cpu_seconds"]
    return logs["cpu_seconds"]


def test_the_seconds_of_steps_add_up_and_those_between_them_do_not_count(processor):
    clock, at = Clock(), state()
    clock.on_train_begin(None, at, None)
    step(clock, processor, 2.0)
    processor.seconds += 50.0  # a look at the probe
    assert logged(clock, at) == 2.0
    step(clock, processor, 3.0)
    assert logged(clock, at) == 5.0


def test_a_resumed_run_goes_on_from_its_checkpoint(processor):
    clock, at = Clock(), state({"step": 1, "cpu_seconds": 7.0}, {"step": 2, "probe/ndcg@5": 0.4})
    clock.on_train_begin(None, at, None)
    step(clock, processor, 2.0)
    assert logged(clock, at) == 9.0


def test_the_course_has_a_row_a_step_and_the_parts_of_each():
    """The end of a training is logged once more for its last step, without its parts."""
    history = [
        {"step": 1, "cpu_seconds": 2.0, "cost/rollout": 0.5, "loss": 1.0},
        {"step": 1, "probe/ndcg@5": 0.4},
        {"step": 2, "cpu_seconds": 5.0, "cost/rollout": 0.7},
        {"step": 2, "cpu_seconds": 5.0, "train_runtime": 9.0},
    ]
    assert course(history) == {
        **{"step": [1, 2], "cpu_seconds": [2.0, 5.0]},
        "cost/rollout": [0.5, 0.7],
    }
    assert course([{"step": 1, "loss": 1.0}]) == {"step": [], "cpu_seconds": []}


def test_a_long_course_is_thinned_from_its_end_and_shares_are_means():
    """999 steps are taken by fives: 200 rows, the first of 4 steps."""
    history = [{"step": n, "cpu_seconds": n * 2.0, "cost/a": n % 5} for n in range(1, 1000)]
    found = course(history)
    assert len(found["step"]) == POINTS
    assert found["step"][:2] == [4, 9] and found["step"][-1] == 999
    assert found["cpu_seconds"][-1] == 1998.0
    assert found["cost/a"][:2] == [2.5, 2.0]  # (1 + 2 + 3 + 4) / 4; (0 + 1 + 2 + 3 + 4) / 5


def test_times_are_not_in_the_history_and_counts_are():
    entry = {"step": 3, "cpu_seconds": 1.2, "cost/rollout": 0.4, "tokens": 9, "rollouts": 8}
    entry |= {"groups/no_signal": 0.5, "train_runtime": 3.0, "epoch": 0.2}
    assert kept(entry) == {"step": 3, "tokens": 9, "rollouts": 8, "groups/no_signal": 0.5}


def test_the_last_value_of_a_name():
    assert last_of([{"tokens": 3}, {"tokens": 5}, {"loss": 1.0}], "tokens") == 5.0
    assert last_of([{"loss": 1.0}], "tokens") == 0.0
