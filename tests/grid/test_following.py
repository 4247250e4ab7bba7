"""What is said of the jobs while they run, and at the end of a grid on this machine."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from datetime import datetime, timedelta

import pytest
from omegaconf import OmegaConf

from mllmrec import launches
from mllmrec.grid import jobs
from mllmrec.grid.following import Follower, at_once
from mllmrec.grid.jobs import Note
from tests.hardware.driver import pretend
from tests.launching import SMALL, command, environment, launch

PROCESSES = "hydra_plugins.mllmrec_launcher.processes.ProcessesLauncher"
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
BEGAN = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


def follower(folder, target="hydra._internal.core_plugins.basic_launcher.BasicLauncher", **more):
    words = ["seed=1,2,3", "grpo.beta=0.1,0.2"]
    sweeper = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
    tree = {
        "sweep": {"dir": str(folder)},
        "launcher": {"_target_": target, **more},
        "sweeper": {"_target_": sweeper},
        "overrides": {"task": words},
    }
    return Follower(OmegaConf.create(tree))


def note(folder, number, state):
    return Note(
        folder=folder,
        subdir=str(number),
        number=number,
        state=state,
        overrides=(),
        gpu=None,
        began=BEGAN,
        ended=BEGAN + timedelta(seconds=9),
    )


def test_jobs_are_counted(tmp_path):
    one = follower(tmp_path)
    states = ["done", "done", "failed", "killed", "running"]
    notes = [note(tmp_path, number, state) for number, state in enumerate(states)]
    assert one.told(notes) == "2 of 6 done, 1 failed, 1 killed, 1 running, 1 left"
    assert one.plan() == f"jobs: 6, one after the other, in {tmp_path}"
    assert one.left(0) is None and one.left(6) is None
    one.began -= 30
    assert one.left(3) == pytest.approx(30, abs=1), "three in 30 s, three to come"


def test_jobs_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("mllmrec.grid.gpus.cores", lambda: 16)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("mllmrec.hardware.machine.gpus", lambda: [])
    plan = follower(tmp_path, PROCESSES, n_jobs=4).plan()
    assert "jobs: 6, 4 at once in processes of their own, 4 threads each unless" in plan
    assert at_once(OmegaConf.create({"n_jobs": -1}), "ProcessesLauncher") == 16
    assert at_once(OmegaConf.create({"n_jobs": -3}), "JoblibLauncher") == 14
    assert "6 at once on SLURM" not in follower(tmp_path, SLURM, array_parallelism=3).plan()
    assert "3 at once on SLURM" in follower(tmp_path, SLURM, array_parallelism=3).plan()


def test_what_earlier_jobs_told_is_removed_and_nothing_of_others(tmp_path):
    """Below a folder of many launches lie other multiruns, and the runs of sweeps."""
    of_sweep = {"host": "elsewhere", "pid": 1, "start": "1"}
    said = {"state": "done", "number": 0, "overrides": [], "gpu": None, **of_sweep}
    said |= {"began": BEGAN.isoformat(), "ended": BEGAN.isoformat()}
    told = {
        "0": {**said, "subdir": "0"},
        "a/1": {**said, "subdir": "a/1", "number": 1},
        "2026-01-01/0": {**said, "subdir": "0"},
        "sweeps/beta/points/0": of_sweep,
        "7": of_sweep,
    }
    files = {place: tmp_path / place / jobs.JOB for place in told}
    for place, file in files.items():
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(told[place]))
    assert [note.subdir for note in jobs.notes(tmp_path)] == ["0", "a/1"]
    one = follower(tmp_path)
    one.start()
    one.stop.set()
    one.thread.join()
    left = {place for place, file in files.items() if file.exists()}
    assert left == {"2026-01-01/0", "sweeps/beta/points/0", "7"}


@pytest.mark.slow
def test_jobs_side_by_side_build_each_artifact_once(tmp_path):
    words = ("stage=caption", "captioner.colours=2,3", *SMALL)
    path = f"{pretend(tmp_path / 'bin', 2)}:{os.environ['PATH']}"
    more = {"PATH": path, "CUDA_VISIBLE_DEVICES": "0,1", "OMP_NUM_THREADS": ""}
    words = ("-m", "hydra/launcher=processes", "hydra.sweep.dir=grid", *words)
    done = launch(*words, "threads=1", cwd=tmp_path, timeout=280, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    notes = jobs.notes(tmp_path / "grid")
    assert [note.state for note in notes] == ["done", "done"]
    assert sorted(str(note.gpu) for note in notes) == ["0", "1"], "one each"
    found = launches.found([tmp_path / "grid"])
    assert len(found) == 2
    steps = [step for one in found for step in one.told["steps"]]
    built = [step["id"] for step in steps if step["seconds"] is not None]
    assert sorted(built) == sorted({step["id"] for step in steps}), "each once, by one of the two"
    assert {one.told["config"]["tracking"]["group"] for one in found} == {"grid"}
    assert "jobs: 2, 2 at once in processes of their own" in done.stdout
    assert "2 of 2 done, 0 running, 0 left" in done.stdout
    assert "done in" not in done.stdout, "what jobs say is in their folders"
    assert "done in" in (notes[0].folder / jobs.OUTPUT).read_text()
    assert "what sets it apart" in done.stdout


@pytest.mark.slow
def test_a_job_that_fails_does_not_stop_the_others(tmp_path):
    (tmp_path / "bad.csv").write_text("item,text\nno such item,words\n")
    words = ("stage=caption", "caption.adopt=bad.csv,null", "hydra.sweep.dir=grid", *SMALL)
    done = launch("-m", "hydra/launcher=processes", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert "mllmrec: " in done.stderr and "Traceback" not in done.stderr
    assert [note.state for note in jobs.notes(tmp_path / "grid")] == ["failed", "done"]
    assert "1 of 2 done, 1 failed" in done.stdout and " failed " in done.stdout


@pytest.mark.slow
def test_on_a_terminal_there_is_one_bar_with_the_time_left(tmp_path):
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = ("stage=prepare", "seed=1,2", "hydra.sweep.dir=grid", *SMALL)
    done = subprocess.run(
        command("-m", "hydra/launcher=processes", *words),
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=side,
        timeout=120,
    )
    os.close(side)
    shown = b""
    try:
        while part := os.read(main, 65536):
            shown += part
    except OSError:  # the terminal's other side is closed
        pass
    assert done.returncode == 0
    assert b"jobs: 100%" in shown and b"2/2 [" in shown and b"2 of 2 done" in shown


@pytest.mark.slow
def test_a_job_that_is_killed_is_begun_once_more_and_the_others_run(tmp_path):
    """Job 0 is killed whenever it runs; job 1 is cut off with it, and finishes on its own."""
    words = ("-m", "hydra/launcher=processes", "stage=prepare", "seed=1,2", "hydra.sweep.dir=grid")
    began = subprocess.Popen(
        command(*words, "hydra.launcher.n_jobs=2", *SMALL),
        cwd=tmp_path,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    killed = set()
    while began.poll() is None:
        for file in (tmp_path / "grid").glob(f"0/{jobs.JOB}"):
            said = json.loads(file.read_text())
            if said["state"] == "running" and said["began"] not in killed:
                killed.add(said["began"])
                os.kill(said["pid"], signal.SIGKILL)
        time.sleep(0.05)
    out, _ = began.communicate()
    assert len(killed) == 2, out
    assert began.returncode == 1
    assert "once more, one by one" in out
    assert "mllmrec: job 0: its process was killed twice" in out and "Traceback" not in out
    assert [note.state for note in jobs.notes(tmp_path / "grid")] == ["killed", "done"]
    assert "1 of 2 done, 1 killed" in out
