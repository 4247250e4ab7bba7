"""W&B that is down, slow, refuses, or is killed in the middle: the launch ends, nothing is lost."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mllmrec.tracking import record
from mllmrec.tracking.patience import FLUSH, abandon, side_by_side, within
from mllmrec.tracking.sync import place
from mllmrec.tracking.tracker import Tracker
from tests.fake_wandb import Server, serving
from tests.tracking.begun import KEY, parts, warnings
from tests.wandb_reader import read


def test_work_that_takes_too_long_is_not_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        within(0.05, lambda: time.sleep(5))
    assert time.monotonic() - began < 4
    with pytest.raises(KeyError):
        within(5, lambda: {}["missing"])


def test_works_that_wait_do_so_at_the_same_time() -> None:
    began, done = time.monotonic(), []
    side_by_side([lambda: (time.sleep(0.5), done.append(1)) for _ in range(10)])
    assert len(done) == 10 and time.monotonic() - began < 4
    with pytest.raises(KeyError):
        side_by_side([lambda: None, lambda: {}["missing"]])


def whole(tmp_path: Path) -> Any:
    """All parts of the one run that was recorded, as one."""
    found = sorted(parts(tmp_path), key=place)  # both may have begun within one second
    record.write(tmp_path / "run-all.wandb", record.joined(found, ()))
    return read(tmp_path / "run-all.wandb")


def log_all(tracker: Tracker, store: Path, trouble: Callable[[], None]) -> None:
    """Six rows with trouble in the middle, then what a launch tells at its end."""
    for step in range(3):
        tracker.log({"loss": step}, step, "sft")
    trouble()
    for step in range(3, 6):
        tracker.log({"loss": step}, step, "sft")
    tracker.summary({"eval/sft/uni9/ndcg@5": 0.5})
    tracker.table("evaluate/points", ["a"], [[1]])
    (store / "sft" / "bb").mkdir(parents=True)
    tracker.lineage({"sft": store / "sft" / "bb"}, {})


def check_nothing_is_lost(tmp_path: Path) -> None:
    run = whole(tmp_path)
    assert [row["sft/loss"] for row in run.history if "sft/loss" in row] == [0, 1, 2, 3, 4, 5]
    assert [row["_step"] for row in run.history] == list(range(7))
    assert run.summary["eval/sft/uni9/ndcg@5"] == 0.5
    assert run.summary["evaluate/points.nrows"] == 1
    assert [*run.config["lineage"]["inputs"]] == ["toy/sft/bb"]
    assert run.exit_code == 0


def fail(server: Server) -> None:
    server.status = 500


def refuse(server: Server) -> None:
    server.status = 401


def hang(server: Server) -> None:
    server.silent.set()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """For each wait for the server: the seconds that were granted, and those that it took."""
    noted: list[tuple[float, float]] = []

    def timed(seconds: float, work: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            within(seconds, work)
        finally:
            noted.append((seconds, time.monotonic() - began))

    monkeypatch.setattr("mllmrec.tracking.tracker.within", timed)
    return noted


@pytest.mark.parametrize(
    "trouble",
    [
        refuse,
        pytest.param(fail, marks=pytest.mark.slow),
        pytest.param(hang, marks=pytest.mark.slow),
    ],
)
def test_a_server_that_is_lost_on_the_way_costs_the_patience_and_no_more(
    launch: Callable[..., Any], tmp_path: Path, trouble: Callable[[Server], None],
    at_most: Callable[[float], float], waits: list[tuple[float, float]],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    most = at_most(2)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        # the server is there at first: a busy machine must not begin on disk
        with launch("online", timeout=60, finish_timeout=2) as tracker:
            log_all(tracker, tmp_path / "store" / "toy", lambda: trouble(server))
            began = time.monotonic()
        assert time.monotonic() - began < most
    for number, (granted, _) in enumerate(waits):  # all of them together have the one patience
        assert granted <= max(2 - sum(took for _, took in waits[:number]), 0)
    check_nothing_is_lost(tmp_path)
    (said,) = warnings(caplog)
    assert "the run goes on" in said and "python launch.py stage=sync" in said


def test_wandbs_own_process_killed_loses_nothing_and_ends_nothing(
    launch: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def kill() -> None:
        from wandb.sdk import wandb_setup

        process = wandb_setup._singleton._connection._proc._process
        process.kill()
        process.wait()

    with launch() as tracker:
        first = tracker.path
        log_all(tracker, tmp_path / "store" / "toy", kill)
    assert len(parts(tmp_path)) == 2 and tracker.path != first
    check_nothing_is_lost(tmp_path)
    assert len(warnings(caplog)) == 1


def test_what_was_told_is_on_disk_at_once(launch: Callable[..., Any], tmp_path: Path) -> None:
    """By default W&B would write it after 15 seconds, and a kill would lose it."""
    with launch() as tracker:
        tracker.log({"loss": 1.0}, 1, "sft")
        ended = time.monotonic() + 10
        while not record.rows(parts(tmp_path)[0]) and time.monotonic() < ended:
            time.sleep(FLUSH)
        assert record.rows(parts(tmp_path)[0]) == 1
    assert math.isclose(read(parts(tmp_path)[0]).history[0]["sft/loss"], 1.0)


def test_to_abandon_where_there_is_nothing_is_nothing() -> None:
    abandon()
    abandon()


@pytest.mark.slow
def test_a_server_that_dies_on_the_way_is_said_and_bounded(
    launch: Callable[..., Any], tmp_path: Path, at_most: Callable[[float], float],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    most = at_most(1)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        tracking = launch("online", timeout=60, finish_timeout=1)
        tracker = tracking.__enter__()
    began = time.monotonic()
    log_all(tracker, tmp_path / "store" / "toy", lambda: None)
    tracking.__exit__(None, None, None)
    assert time.monotonic() - began < most
    assert len(warnings(caplog)) == 1
    check_nothing_is_lost(tmp_path)
    assert not [*os.scandir(tmp_path / "here" / "wandb" / "running")]
