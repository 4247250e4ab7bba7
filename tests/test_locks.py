"""Locks between real processes: one waits and reuses, and the dead are taken over from."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mllmrec import locks
from tests.launching import ROOT, environment

# Builds one artifact under the lock unless it is there, and says which it did.
WORKER = """
import sys
from pathlib import Path
from mllmrec import locks
lock, made = Path(sys.argv[1]), Path(sys.argv[2])
with locks.held(lock):
    if made.exists():
        print("reused")
    else:
        print("building", flush=True)
        sys.stdin.readline()
        made.write_text("done")
"""


def worker(lock, made):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(lock), str(made)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def holder(path, **said):
    """A lock file as some process has left it."""
    me = os.getpid()
    mine = {"host": socket.gethostname(), "pid": me, "start": locks.process_start(me)}
    path.write_text(json.dumps({**mine, **said}))


def silent_for(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_one_waits_and_then_reuses(tmp_path):
    lock, made = tmp_path / ".lock-x", tmp_path / "made"
    first = worker(lock, made)
    assert first.stdout.readline() == "building\n"
    assert not locks.is_dead(lock)
    second = worker(lock, made)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=1.0)
    first.communicate("go on\n", timeout=20)
    assert second.communicate(timeout=20)[0] == "reused\n"
    assert first.returncode == second.returncode == 0
    assert not lock.exists()


def test_a_killed_holder_is_taken_over_from(tmp_path):
    lock, made = tmp_path / ".lock-x", tmp_path / "made"
    first = worker(lock, made)
    assert first.stdout.readline() == "building\n"
    assert not locks.claim(lock)
    first.kill()
    first.communicate()
    assert lock.exists() and locks.is_dead(lock)
    with locks.held(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_what_has_ended_is_gone_even_if_its_parent_takes_no_note(tmp_path):
    lock = tmp_path / ".lock-x"
    first = worker(lock, tmp_path / "made")
    assert first.stdout.readline() == "building\n"
    start = locks.process_start(first.pid)
    first.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # it stays what is left of a process
    assert Path(f"/proc/{first.pid}/stat").exists()
    assert start is not None and locks.process_start(first.pid) is None
    assert locks.is_free(lock)
    first.communicate()


def test_a_process_number_that_is_used_again_is_another_process(tmp_path):
    lock = tmp_path / ".lock-x"
    holder(lock)
    assert not locks.is_dead(lock)
    holder(lock, start="1")
    assert locks.is_dead(lock)


def test_a_holder_on_another_host_is_judged_by_its_heartbeat(tmp_path):
    lock = tmp_path / ".lock-x"
    holder(lock, host="elsewhere", pid=1, start="1")
    assert not locks.claim(lock)
    silent_for(lock, locks.DEAD - 20)
    assert not locks.claim(lock)
    silent_for(lock, locks.DEAD + 1)
    assert locks.claim(lock)


def test_a_holder_here_is_not_judged_by_its_heartbeat(tmp_path):
    """A process that computes for an hour without a beat is alive all the same."""
    lock = tmp_path / ".lock-x"
    holder(lock)
    silent_for(lock, 3600)
    assert not locks.claim(lock)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"host": "elsewhere"}'])
def test_a_lock_file_that_says_nothing_counts_as_dead(tmp_path, text):
    lock = tmp_path / ".lock-x"
    lock.write_text(text)
    assert locks.claim(lock)


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.02)
    lock = tmp_path / "new" / ".lock-x"
    with locks.held(lock):
        silent_for(lock, 1000)
        deadline = time.monotonic() + 10
        while time.time() - lock.stat().st_mtime > 500:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_fault_releases_the_lock(tmp_path):
    lock = tmp_path / ".lock-x"
    with pytest.raises(KeyError), locks.held(lock):
        raise KeyError
    assert not lock.exists()


def test_a_lock_that_was_taken_over_is_not_released(tmp_path):
    """A process that was suspended for long must not free the lock of the one after it."""
    lock = tmp_path / ".lock-x"
    with locks.held(lock):
        holder(lock, host="elsewhere")
    assert json.loads(lock.read_text())["host"] == "elsewhere"
