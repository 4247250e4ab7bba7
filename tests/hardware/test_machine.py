"""What there is to compute on, as the driver and the kernel tell it."""

import pytest

from mllmrec.hardware import machine as module
from mllmrec.hardware.machine import GIB, gpus, machine, main_memory, peak_of
from tests.hardware.driver import pretend


@pytest.fixture
def driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(count, *more):
        monkeypatch.setenv("PATH", f"{pretend(tmp_path / 'bin', count, *more)}:/usr/bin:/bin")

    return install


def test_without_a_driver_there_are_cores(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "cores", lambda: 3)
    assert gpus() == []
    found = machine(None, None, is_planned=False)
    assert (found.name, found.is_gpu, found.bytes) == ("3 CPU cores", False, main_memory())
    assert found.peak == 3 * module.CORE
    assert machine(None, None, is_planned=False, threads=2).peak == 2 * module.CORE
    assert machine(None, None, is_planned=False, threads=8).name == "3 CPU cores"
    assert 0.1 * GIB < main_memory() < 10_000 * GIB


def test_the_driver_tells_name_and_memory(driver, monkeypatch):
    driver(2)
    assert [gpu.id for gpu in gpus()] == ["0", "1"]
    found = machine(None, None, is_planned=False)
    assert found.is_gpu and found.bytes == 81559 * 2**20 and found.peak == 989e12
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-abc")
    assert [gpu.id for gpu in gpus()] == ["1", "GPU-abc"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpus() == []


def test_what_is_typed_takes_the_place_of_what_the_gpu_says(driver):
    driver(1, "Some new card", 1024)
    assert machine(None, None, is_planned=False).peak is None
    found = machine(40, 100, is_planned=False)
    assert (found.bytes, found.peak) == (40 * GIB, 100e12)


def test_a_gpu_that_is_not_here_can_be_planned_for_and_not_run_on(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    planned = machine(24, 165, is_planned=True)
    assert planned.is_gpu and planned.bytes == 24 * GIB and planned.name == "a GPU that is not here"
    assert not machine(24, 165, is_planned=False).is_gpu


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
        ("Tesla V100-SXM2-16GB", 125),
        ("NVIDIA GeForce RTX 4090", 165),
    ],
)
def test_peaks_by_name(name, tflops):
    assert peak_of(name) == tflops * 1e12


def test_an_unknown_card_has_no_peak():
    assert peak_of("NVIDIA Z1") is None
