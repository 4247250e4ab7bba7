"""What there is to compute on, told without torch: GPUs by their driver, or cores and memory."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ASK = ("nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits")
VISIBLE = "CUDA_VISIBLE_DEVICES"
GIB = 2**30

# Peaks of dense bfloat16 (float16 before Ampere) in FLOP/s, from the makers' data sheets.
PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A40": 150e12,
    "A30": 165e12,
    "A10": 125e12,
    "RTX 6000 Ada": 364e12,
    "RTX 5090": 210e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "V100": 125e12,
    "T4": 65e12,
}
ELSEWHERE = "a GPU that is not here"
CORE = 12e9  # FLOP/s that a core was seen to reach in training small models in float32


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One that jobs may use: its ``id`` as CUDA_VISIBLE_DEVICES names it, and what it is."""

    id: str
    name: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a stage computes on: ``bytes`` of memory, ``peak`` in FLOP/s if it is known."""

    name: str
    is_gpu: bool
    bytes: int
    peak: float | None


def gpus() -> list[Gpu]:
    """The GPUs that this process may use; none where there is no driver to ask."""
    try:
        done = subprocess.run(ASK, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    found = [gpu_of(line) for line in done.stdout.splitlines() if line.count(",") == 2]
    named = os.environ.get(VISIBLE)
    if named is None or not found:
        return found
    by_id = {gpu.id: gpu for gpu in found}
    ids = [id.strip() for id in named.split(",")]
    # CUDA takes names of other kinds too (GPU-…, MIG-…); what those are is not asked for
    own = [by_id.get(id, Gpu(id=id, name=found[0].name, bytes=found[0].bytes)) for id in ids]
    return [gpu for gpu in own if gpu.id not in ("", "-1")]


def gpu_of(line: str) -> Gpu:
    """One line of the driver's answer; memory that it does not tell is 0."""
    id, name, mebibytes = (part.strip() for part in line.split(","))
    return Gpu(
        id=id, name=name, bytes=int(float(mebibytes) * 2**20) if mebibytes[:1].isdigit() else 0
    )


def machine(
    gpu_memory: float | None,
    gpu_tflops: float | None,
    *,
    is_planned: bool,
    threads: int | None = None,
) -> Machine:
    """The machine that a launch computes on.

    ``gpu_memory`` (GiB) and ``gpu_tflops`` take the place of what the GPU says of itself; a launch
    that is only planned may be planned for a GPU that is not here. Of the cores it uses as many as
    it has ``threads``, in all of its processes together; None stands for all.
    """
    own = gpus()
    if own or (is_planned and gpu_memory):
        name = own[0].name if own else ELSEWHERE
        size = int(gpu_memory * GIB) if gpu_memory else own[0].bytes
        peak = gpu_tflops * 1e12 if gpu_tflops else peak_of(name)
        return Machine(name=name, is_gpu=True, bytes=size, peak=peak)
    n = min(cores(), threads or cores())
    name = f"{n} CPU core{'s' * (n > 1)}"
    return Machine(name=name, is_gpu=False, bytes=main_memory(), peak=CORE * n)


def peak_of(name: str) -> float | None:
    """The peak of a GPU by its name; of two that fit the longer is meant (L40S, not L4)."""
    fitting = [known for known in PEAKS if known in name]
    return PEAKS[max(fitting, key=len)] if fitting else None


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def main_memory() -> int:
    """Bytes of main memory for this process: the machine's, or what its group is held to."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            sizes.append(int(Path(file).read_text()))
        except (OSError, ValueError):  # "max", or no such group
            continue
    return min(sizes)
