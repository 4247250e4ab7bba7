"""Launchers that would not be used, or lack something, are refused before the first job."""

import pytest

from mllmrec.errors import Refusal
from mllmrec.grid import launcher
from tests.hardware.driver import pretend
from tests.launching import CONF


def wrong(*words):
    with pytest.raises(Refusal) as refusal:
        launcher.check_installed(words)
        launcher.check_machine(words, str(CONF))
    assert str(refusal.value).count(" · ") == 2
    return str(refusal.value)


def test_a_launcher_without_a_grid_is_told_what_to_type():
    told = wrong("hydra/launcher=slurm", "grpo.beta=0.1")
    assert "hydra/launcher=slurm without -m" in told
    assert "python launch.py -m hydra/launcher=slurm" in told


def test_what_is_only_shown_needs_no_grid():
    launcher.check_installed(["hydra/launcher=slurm", "--cfg", "hydra"])
    launcher.check_installed(["grpo.beta=0.1"])
    launcher.check_installed(["-m", "hydra/launcher=basic", "seed=1,2"])


@pytest.mark.parametrize(("name", "extra"), [("processes", "parallel"), ("slurm", "slurm")])
def test_a_package_that_is_missing_is_named(name, extra, monkeypatch):
    def nothing(package):
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(launcher, "find_spec", nothing)
    assert f"pip install 'mllmrec[{extra}]'" in wrong("-m", f"hydra/launcher={name}", "seed=1,2")


def test_slurm_wants_a_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    told = wrong("-m", "hydra/launcher=slurm", "seed=1,2")
    assert "there is no sbatch" in told and "hydra/launcher=processes" in told


def test_no_more_jobs_at_once_than_gpus(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{pretend(tmp_path / 'bin', 2)}:/usr/bin:/bin")
    words = ("-m", "hydra/launcher=processes", "seed=1,2,3")
    launcher.check_machine(words, str(CONF))  # two, by itself
    launcher.check_machine((*words, "hydra.launcher.n_jobs=1"), str(CONF))
    assert "type hydra.launcher.n_jobs=2" in wrong(*words, "hydra.launcher.n_jobs=3")
    assert "hydra.launcher.n_jobs=-1: each job" in wrong(*words, "hydra.launcher.n_jobs=-1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert "type hydra.launcher.n_jobs=1" in wrong(*words, "hydra.launcher.n_jobs=2")
