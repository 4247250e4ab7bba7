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


MANY = ("-m", "hydra/launcher=processes", "seed=1,2,3")


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{pretend(tmp_path / 'bin', 2)}:/usr/bin:/bin")


def test_no_more_jobs_at_once_than_gpus(two_gpus):
    assert "type hydra.launcher.n_jobs=2" in wrong(*MANY, "hydra.launcher.n_jobs=3")


@pytest.mark.slow
def test_as_many_jobs_as_gpus_or_fewer_and_of_those_that_are_visible(two_gpus, monkeypatch):
    launcher.check_machine(MANY, str(CONF))  # two, by itself
    launcher.check_machine((*MANY, "hydra.launcher.n_jobs=1"), str(CONF))
    assert "hydra.launcher.n_jobs=-1: each job" in wrong(*MANY, "hydra.launcher.n_jobs=-1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert "type hydra.launcher.n_jobs=1" in wrong(*MANY, "hydra.launcher.n_jobs=2")


def test_a_plan_is_printed_here_and_no_jobs_are_no_number():
    assert "leave hydra/launcher=" in wrong(*MANY, "plan_only=true")
    assert "type hydra.launcher.n_jobs=2" in wrong(*MANY, "hydra.launcher.n_jobs=0")
