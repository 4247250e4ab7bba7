"""Notes that jobs leave in their folders, also those that died."""

import json
import subprocess
import sys

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from mllmrec import locks
from mllmrec.grid import jobs
from tests.launching import ROOT


def hydra_of(folder, mode=RunMode.MULTIRUN, target="hydra._internal.BasicLauncher", number=3):
    """What a job knows of Hydra, as far as notes are concerned."""
    return OmegaConf.create(
        {
            "mode": mode,
            "runtime": {"output_dir": str(folder)},
            "sweep": {"dir": str(folder)},
            "job": {"num": number},
            "overrides": {"task": ["grpo.beta=0.1"]},
            "launcher": {"_target_": target},
        }
    )


def test_a_job_tells_how_it_ended(tmp_path):
    with jobs.told(hydra_of(tmp_path)):
        (note,) = jobs.notes(tmp_path)
        assert (note.state, note.number, note.overrides) == ("running", 3, ("grpo.beta=0.1",))
        assert note.seconds is None
    (note,) = jobs.notes(tmp_path)
    assert note.state == "done" and note.seconds is not None and note.gpu is None


def test_a_job_that_raises_has_failed(tmp_path):
    with pytest.raises(KeyboardInterrupt), jobs.told(hydra_of(tmp_path)):
        raise KeyboardInterrupt
    assert [note.state for note in jobs.notes(tmp_path)] == ["failed"]


def test_a_single_launch_leaves_no_note(tmp_path):
    with jobs.told(hydra_of(tmp_path, mode=RunMode.RUN)):
        pass
    assert not list(tmp_path.iterdir())


def test_a_job_whose_process_is_gone_was_killed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    said = {**locks.me(), "pid": child.pid, "start": locks.process_start(child.pid)}
    said |= {"state": "running", "number": 0, "overrides": [], "gpu": None, "ended": None}
    said |= {"began": "2026-01-01T00:00:00+00:00", "subdir": "."}
    (tmp_path / jobs.JOB).write_text(json.dumps(said))
    assert [note.state for note in jobs.notes(tmp_path)] == ["running"]
    child.kill()
    child.wait()
    assert [note.state for note in jobs.notes(tmp_path)] == ["killed"]
    (tmp_path / jobs.JOB).write_text(json.dumps({**said, "host": "another"}))
    assert [note.state for note in jobs.notes(tmp_path)] == ["running"], "nobody here can tell"


def test_a_note_that_is_being_written_is_left_out(tmp_path):
    (tmp_path / jobs.JOB).write_text("{")
    assert jobs.notes(tmp_path) == []


def test_secrets_that_were_typed_are_taken_out(tmp_path):
    hydra = hydra_of(tmp_path)
    hydra.overrides.task = ["reasoner.endpoint.api_key=sk-abcdefgh12345678"]
    with jobs.told(hydra):
        assert "abcdefgh" not in (tmp_path / jobs.JOB).read_text()


WORKER = """
import os, subprocess, sys
from pathlib import Path
from mllmrec.grid.jobs import written_to
with written_to(Path(sys.argv[1])):
    print("of the job")
    subprocess.run([sys.executable, "-c", "print('of its child')"], check=True)
    os.write(2, b"an error\\n")
print("after it")
"""


def test_what_a_worker_writes_goes_into_its_folder(tmp_path):
    """Also what programs that it starts write."""
    call = [sys.executable, "-c", WORKER, str(tmp_path / jobs.OUTPUT)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("after it\n", "")
    written = (tmp_path / jobs.OUTPUT).read_text().splitlines()
    assert sorted(written) == ["an error", "of its child", "of the job"]
