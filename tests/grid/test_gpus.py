"""A GPU for each process: no two have the same, and the dead give theirs back."""

import subprocess
import sys

from mllmrec.grid.gpus import at_once
from tests.hardware.driver import pretend
from tests.launching import ROOT, environment

CLAIM = """
import sys
from pathlib import Path
from mllmrec.grid import gpus
gpus.PATIENCE = 0.2
try:
    print(gpus.claim(Path(sys.argv[1])), gpus.claim(Path(sys.argv[1])), flush=True)
except Exception as error:
    print(type(error).__name__, flush=True)
input()
"""


def claimant(folder, path, **more):
    env = environment(PATH=f"{path}:/usr/bin:/bin", **more)
    return subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(folder)],
        cwd=ROOT,
        env=env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_processes_have_different_gpus_and_keep_them(tmp_path):
    path = pretend(tmp_path / "bin", 8)
    some = [claimant(tmp_path / "held", path, CUDA_VISIBLE_DEVICES="3,5") for _ in range(2)]
    told = sorted(one.stdout.readline().split() for one in some)
    assert told == [["3", "3"], ["5", "5"]], "those that the user allowed, asked for twice the same"
    third = claimant(tmp_path / "held", path, CUDA_VISIBLE_DEVICES="3,5")
    assert third.stdout.readline().strip() == "Refusal"
    third.communicate()
    for one in some:
        one.kill()
        one.communicate()
    again = claimant(tmp_path / "held", path, CUDA_VISIBLE_DEVICES="3,5")
    assert again.stdout.readline().split() == ["3", "3"]
    again.communicate()


def test_jobs_at_once_are_as_many_as_gpus_or_else_as_cores(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("mllmrec.grid.gpus.cores", lambda: 16)
    assert (at_once(4), at_once(99)) == (4, 16)
    monkeypatch.setenv("PATH", f"{pretend(tmp_path / 'bin', 8)}:/usr/bin:/bin")
    assert at_once(4) == 8
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert at_once(4) == 4
