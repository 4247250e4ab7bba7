"""Time of several sides by turns, and peak memory in a process of its own."""

import ctypes
import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, Self

MB = 1e6
M_MMAP_THRESHOLD = -3  # of mallopt: blocks from this size on are mapped one by one

Prepare = Callable[..., Callable[[], object]]


class Timing(NamedTuple):
    """Medians in seconds: CPU time of the whole process, and wall."""

    cpu: float
    wall: float


def interleaved(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Medians over ``repeats`` rounds, after one that is not counted.

    A round runs every side once, every other round in reverse, so that a machine that grows
    slower or busier does so for all.
    """
    taken: dict[str, list[Timing]] = {name: [] for name in sides}
    for number in range(repeats + 1):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            sides[name]()
            taken[name].append(Timing(time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: Timing(*(statistics.median(column) for column in zip(*rounds[1:], strict=True)))
        for name, rounds in taken.items()
    }


def peak_memory(prepare: Prepare, *args: Any, as_kept: bool = False) -> float:
    """MB that a call takes at its peak above what the process held before it; Linux only.

    ``prepare(*args)``, a function of a module, makes the call in a fresh process, and there does
    what is only ever done once. What is freed goes back to the system at once, so that the peak
    is of memory in use; with ``as_kept`` the C library keeps of it what it does by default.
    """
    with beside(_measure, as_kept, prepare, args) as pipe:
        return pipe.recv()


def _measure(pipe: Connection, as_kept: bool, prepare: Prepare, args: Any) -> None:
    if not as_kept:
        give_back_at_once()
    call = prepare(*args)
    with Peak() as peak:
        call()
    pipe.send(peak.mb)


@contextmanager
def beside(work: Callable[..., None], *args: Any) -> Iterator[Connection]:
    """A fresh process that runs ``work(pipe, *args)`` until the end of the block.

    If it dies before, the pipe raises EOFError, and its own traceback stands above.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs, *args), daemon=True)
    child.start()
    theirs.close()
    try:
        yield mine
    finally:
        child.kill()
        child.join()
        mine.close()


def give_back_at_once() -> None:
    """Map blocks one by one, so that each goes back to the system as soon as it is freed."""
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 17)


class Peak:
    """MB above the level at entry, known at exit."""

    mb: float

    def __enter__(self) -> Self:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        self.level, self.seen = status("VmRSS"), 0.0
        self.is_done, self.watcher = Event(), Thread(target=self.watch)
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the mark of the peak back to the level
        except OSError:  # the system keeps no mark that could be moved: look every two milliseconds
            self.watcher.start()
        return self

    def watch(self) -> None:
        while not self.is_done.wait(0.002):
            self.seen = max(self.seen, status("VmRSS"))

    def __exit__(self, *_: object) -> None:
        self.is_done.set()
        if self.watcher.is_alive():
            self.watcher.join()
        self.mb = (self.seen or status("VmHWM")) - self.level


def status(key: str) -> float:
    """A line of the process's own status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / MB for line in lines if line.startswith(key))
