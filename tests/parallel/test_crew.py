"""Processes that are started, heard and ended; a rank that dies, a launch that is killed."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mllmrec import locks
from mllmrec.errors import Refusal
from mllmrec.parallel import crew
from mllmrec.worker import has_ended
from tests.launching import SMALL, command, config, environment, launch, told

TWO = ("parallel=ddp", "parallel.processes=2")
LONG = (*SMALL, "stage=pretrain", "threads=1", "pretrain.max_steps=40", "pretrain.save_steps=5")
LONG += ("pretrain.logging_steps=1", "pretrain.batch_size=8")


def test_a_line_is_handed_on_once_it_is_whole(tmp_path):
    heard, file = [], tmp_path / "events.jsonl"
    told = crew.Told(file, heard.append)
    told.read()
    file.write_text('{"step": 1}\n{"st')
    told.read()
    assert heard == [{"step": 1}]
    with file.open("a") as more:
        more.write('ep": 2}\n')
    told.read()
    assert heard == [{"step": 1}, {"step": 2}]


def test_what_a_rank_was_refused_is_refused_by_the_launch(tmp_path):
    error = {"rank": 1, "wrong": "no room", "allowed": "less", "do": "type less=1"}
    (tmp_path / "error-0.json").write_text(json.dumps({"rank": 0, "trace": "peer closed"}))
    (tmp_path / "error-1.json").write_text(json.dumps(error))
    found = crew.failure(tmp_path, config("stage=sft", *TWO).parallel)
    assert isinstance(found, Refusal) and found.do == "type less=1"


def test_a_rank_that_was_killed_is_named_and_not_what_the_others_said_of_it(tmp_path):
    (tmp_path / "error-0.json").write_text(json.dumps({"rank": 0, "trace": "peer closed"}))
    (tmp_path / crew.LOG).write_text("E1 failed (exitcode: -9) local_rank: 1 (pid: 7) of binary")
    found = crew.failure(tmp_path, config("stage=sft", *TWO).parallel)
    assert "rank 1 of 2 was killed (signal 9)" in str(found) and "repeat the command" in found.do


def test_a_fault_of_ours_keeps_its_trace(tmp_path):
    (tmp_path / "error-0.json").write_text(json.dumps({"rank": 0, "trace": "KeyError: 3"}))
    found = crew.failure(tmp_path, config("stage=sft", *TWO).parallel)
    assert isinstance(found, RuntimeError) and "rank 0 of 2: KeyError: 3" in str(found)


def test_processes_of_a_killed_launch_are_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "GRACE", 0.0)
    (tmp_path / "rank-0.json").write_text(json.dumps(locks.me()))
    with pytest.raises(Refusal, match="does not end"):
        crew.wait_for_others(tmp_path)
    (tmp_path / "rank-0.json").write_text(json.dumps({**locks.me(), "start": "1"}))
    crew.wait_for_others(tmp_path)


def test_a_process_has_ended_when_it_is_gone_or_was_replaced():
    me = locks.me()
    assert not has_ended(me)
    assert has_ended({**me, "start": "1"}) and has_ended({**me, "pid": 2**22 + 1})


def test_more_processes_than_a_step_has_rows_for_are_refused():
    made = config("parallel=ddp", "parallel.processes=3", *LONG)
    with pytest.raises(Refusal) as found:
        made.parallel.ready(made.goal)  # as a launch does, once it has its plan
    assert "pretrain.batch_size=8: not divisible by 3 processes" in found.value.wrong
    assert found.value.do == "type pretrain.batch_size=9, or as many processes as 1, 2, 4, 8"


def test_a_launch_under_torchrun_is_told_how_to_ask_for_processes(tmp_path):
    done = launch(*LONG, cwd=tmp_path, WORLD_SIZE="2")
    assert "type python launch.py parallel=ddp parallel.processes=N" in told(done)


def workers(home: Path, since: int) -> dict[str, dict]:
    """The processes that a running stage names, once there are checkpoints from ``since`` on."""
    until = time.monotonic() + 150
    while time.monotonic() < until:
        time.sleep(0.1)
        whole = home.glob("artifacts/toy/pretrain/.partial-*/.scratch/checkpoints/*/whole")
        if any(int(path.parent.name.split("-")[1]) >= since for path in whole):
            folder = next(home.glob("artifacts/toy/pretrain/.partial-*/.scratch/workers"))
            found = folder.glob("rank-*.json")
            return {path.stem: json.loads(path.read_text()) for path in found}
    raise AssertionError("no checkpoint was written")


@pytest.mark.slow
def test_killed_and_repeated_it_is_what_one_process_makes(tmp_path):
    """First a rank is killed, then the whole launch; the third command goes on to the end."""
    home = tmp_path / "home"
    home.mkdir()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command(*LONG, *TWO), cwd=home, env=environment(), **streams)
    ranks = workers(home, since=5)
    os.kill(ranks["rank-1"]["pid"], signal.SIGKILL)
    _, stderr = first.communicate(timeout=90)
    assert first.returncode == 1 and "rank 1 of 2 was killed (signal 9)" in stderr
    assert all(map(has_ended, ranks.values())), "a process was left behind"

    second = subprocess.Popen(command(*LONG, *TWO), cwd=home, env=environment(), **streams)
    ranks = workers(home, since=20)
    second.kill()
    second.communicate()
    until = time.monotonic() + 20
    while not all(map(has_ended, ranks.values())) and time.monotonic() < until:
        time.sleep(0.1)
    assert all(map(has_ended, ranks.values())), "a process was left behind"

    third = launch(*LONG, *TWO, cwd=home, timeout=300)
    assert third.returncode == 0 and "going on from step" in third.stdout + third.stderr
    alone = launch(*LONG, f"artifacts={tmp_path / 'alone'}", cwd=tmp_path, timeout=300)
    assert alone.returncode == 0
    (history,) = (home / "artifacts").glob("toy/pretrain/*/history.json")
    (other,) = (tmp_path / "alone").glob("toy/pretrain/*/history.json")
    shared, one = json.loads(history.read_text()), json.loads(other.read_text())
    assert len(shared) == len(one) == 40
    for a, b in zip(shared, one, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5, rel=1e-5)
    assert not list((home / "artifacts").glob("toy/pretrain/.partial-*"))
