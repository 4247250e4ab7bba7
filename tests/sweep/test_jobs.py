"""Runs as processes: what they are handed, how they are found again, and how they are ended."""

import subprocess
import sys
import time

import pytest

from mllmrec import launches
from mllmrec.errors import Refusal
from mllmrec.hardware import machine
from mllmrec.hardware.machine import Gpu
from mllmrec.sweep import jobs
from mllmrec.sweep.checked import shared_out
from mllmrec.sweep.jobs import Local, Process
from mllmrec.sweep.points import LOG, Run


def run(folder):
    return Run(number=0, values={"a": 1, "seed": 2}, words=(), folder=folder)


def with_gpus(monkeypatch, *ids):
    own = [Gpu(id=one, name="G", bytes=1) for one in ids]
    monkeypatch.setattr(machine, "gpus", lambda: own)


def test_each_place_has_a_gpu_of_its_own():
    local = Local(places=2, threads=3, gpus=["4", "7"])
    one, two = (local.environment({"CUDA_VISIBLE_DEVICES": "4,7"}, place) for place in (0, 1))
    assert (one["CUDA_VISIBLE_DEVICES"], two["CUDA_VISIBLE_DEVICES"]) == ("4", "7")
    assert local.said == "2 at once, 3 threads each, GPUs 4, 7"


def test_a_run_is_handed_its_threads_and_nothing_of_the_sweeps_own_run():
    given = {"PATH": "/bin", "_WANDB_SERVICE": "x", "WANDB_SERVICE_TOKEN": "y", "MLLMREC_CONF": "z"}
    found = Local(places=1, threads=2, gpus=[]).environment(given, 0)
    assert found == {"PATH": "/bin"} | dict.fromkeys(jobs.THREADS, "2")


def test_gpus_are_shared_out_one_a_job(monkeypatch):
    with_gpus(monkeypatch, "0", "1", "2")
    assert shared_out(None, None) == (3, ["0", "1", "2"])
    assert shared_out(2, None) == (2, ["0", "1"])
    assert shared_out(2, [5, 5]) == (2, ["5", "5"])
    with pytest.raises(Refusal, match=r"sweep\.jobs=4: there are 3 GPUs") as refusal:
        shared_out(4, None)
    assert "sweep.gpus=[0,0]" in refusal.value.do


def test_without_gpus_two_runs_share_the_cores(monkeypatch):
    with_gpus(monkeypatch)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    assert shared_out(None, None) == (2, [])
    assert shared_out(5, None) == (5, [])
    monkeypatch.setattr(machine, "cores", lambda: 1)
    assert shared_out(None, None) == (1, [])


def test_a_run_is_begun_found_again_and_ended(tmp_path, monkeypatch):
    sleep = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
    monkeypatch.setattr(jobs, "command_line", lambda words: sleep)
    local = Local(places=1, threads=1, gpus=[])
    assert local.find(run(tmp_path)) is None
    job = local.start(run(tmp_path), [], 0)
    again = local.find(run(tmp_path))
    assert isinstance(again, Process) and again.pid == job.pid and not again.is_over()
    while not (tmp_path / LOG).read_text():
        time.sleep(0.05)
    job.stop()
    assert job.is_over() and again.is_over() and local.find(run(tmp_path)) is None
    assert "KeyboardInterrupt" in (tmp_path / LOG).read_text()


def test_one_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    code = "import signal, time; signal.signal(2, signal.SIG_IGN); print(1, flush=True)\n"
    child = subprocess.Popen(
        [sys.executable, "-c", code + "time.sleep(60)"], stdout=subprocess.PIPE
    )
    child.stdout.readline()
    monkeypatch.setattr(jobs, "GRACE", 0.3)
    Process(pid=child.pid, began=None, child=child).stop()
    assert child.wait(timeout=10) == -9


def test_a_run_says_why_it_failed(tmp_path):
    hint = "\nSet the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n"
    assert run(tmp_path).why == ""
    (tmp_path / LOG).write_text("Traceback\nKeyError: 'x'\n" + hint)
    assert run(tmp_path).why == "KeyError: 'x'"
    (tmp_path / LOG).write_text("mllmrec: a: b · c · d\nmore\n")
    assert run(tmp_path).why == "a: b · c · d"


def test_a_run_is_found_again_in_its_own_place(tmp_path, monkeypatch):
    """It keeps its GPU, whatever place that GPU has now; one that is gone has no place."""
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(jobs, "command_line", lambda words: sleep)
    job = Local(places=2, threads=1, gpus=["4", "7"]).start(run(tmp_path), [], 1)
    try:
        for gpus, place in [(["4", "7"], 1), (["7", "4"], 0), (["7", "7"], 1), (["4", "5"], None)]:
            assert Local(places=2, threads=1, gpus=gpus).find(run(tmp_path)).place == place
        assert Local(places=1, threads=1, gpus=["4"]).find(run(tmp_path)).place is None
    finally:
        job.stop()


def test_a_run_without_a_job_file_is_found_by_what_it_tells_of_itself(tmp_path):
    with launches.told(tmp_path, config={"goal": "sft"}, overrides=[], store=tmp_path) as launch:
        found = Local(places=1, threads=1, gpus=[]).find(run(tmp_path))
        assert found.pid == launch.told["pid"] and not found.is_over()
    assert Local(places=1, threads=1, gpus=[]).find(run(tmp_path)) is None
