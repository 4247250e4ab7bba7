"""A GPU for each process of a multirun on one machine."""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from mllmrec.errors import Refusal
from mllmrec.hardware.machine import VISIBLE, cores, gpus

PATIENCE = 60.0  # seconds in which a process that ends gives its GPU back

OPENMP = "OMP_NUM_THREADS"

held: list[IO[str]] = []  # this process's GPU, until the process ends


def at_once(most: int) -> int:
    """Jobs that run side by side: one a GPU, or else one a core, of these ``most`` at most."""
    return len(gpus()) or max(1, min(int(most), cores()))


def workers(asked: int) -> int:
    """Processes at once; as joblib has it, a negative number counts from all cores down."""
    return asked if asked > 0 else max(1, cores() + 1 + asked)


def threads_each(workers: int) -> int:
    """Threads that each of so many processes computes with: OMP_NUM_THREADS, or a fair share."""
    return int(os.environ.get(OPENMP) or max(1, cores() // workers))


def claim(folder: Path) -> str | None:
    """Take a GPU that no other process of this multirun has, for as long as this process lives.

    Processes are used for several jobs; the GPU stays. None where the machine has no GPU.

    Raises:
        Refusal: all are taken, and none was given back.
    """
    if held:
        return os.environ[VISIBLE]
    own = gpus()
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + PATIENCE
    while own:
        for gpu in own:
            file = (folder / gpu.id.replace("/", "_")).open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed when the process ends
            except OSError:
                file.close()
                continue
            held.append(file)
            os.environ[VISIBLE] = gpu.id
            return gpu.id
        if time.monotonic() > until:
            raise Refusal(
                f"all {len(own)} GPUs are taken by other jobs",
                allowed="as many jobs at once as there are GPUs",
                do=f"type hydra.launcher.n_jobs={len(own)}",
            )
        time.sleep(0.5)
    return None
