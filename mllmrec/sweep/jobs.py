"""The processes that a sweep's runs are, on this machine: started, followed, ended."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mllmrec import locks
from mllmrec.artifacts import write_json
from mllmrec.hardware import machine
from mllmrec.sweep.points import JOB, LOG, Run

log = logging.getLogger(__name__)

LAUNCH = Path(__file__).parents[2] / "launch.py"
GRACE = 60.0  # seconds in which an interrupted launch ends by itself
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
# A launch has its own W&B run; and its groups are the frozen ones, named on its command line.
NOT_HANDED_ON = ("WANDB_SERVICE", "MLLMREC_CONF")


class Job(Protocol):
    """A run that was begun; ``place`` is where, None where nobody knows or it does not matter."""

    place: int | None

    def is_over(self) -> bool:
        """Whether it has ended, however."""

    def stop(self) -> None:
        """End it, and wait until it has."""


class Executor(Protocol):
    """What runs are begun on: ``places`` at once, ``threads`` each."""

    places: int
    threads: int

    @property
    def said(self) -> str:
        """``2 at once, 1 thread each``."""

    def start(self, run: Run, words: Sequence[str], place: int) -> Job:
        """Begin a run; ``place`` is below ``places``, and free."""

    def find(self, run: Run) -> Job | None:
        """The job of a run that an earlier process of this sweep began and that goes on."""


@dataclass(kw_only=True)
class Process:
    """A launch in a process of its own, perhaps one that an earlier sweep began."""

    pid: int
    began: str | int | None
    place: int | None = None
    child: subprocess.Popen[bytes] | None = None

    def is_over(self) -> bool:
        if self.child is not None:
            return self.child.poll() is not None
        return locks.process_start(self.pid) != self.began

    def stop(self) -> None:
        for number, wait in ((signal.SIGINT, GRACE), (signal.SIGKILL, GRACE)):
            if self.is_over():
                return
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return
            until = time.monotonic() + wait
            while time.monotonic() < until and not self.is_over():
                time.sleep(0.1)


@dataclass(kw_only=True)
class Local:
    """Processes on this machine, ``threads`` each, a GPU each where ``gpus`` has any."""

    places: int
    threads: int
    gpus: Sequence[str]

    @property
    def said(self) -> str:
        each = f"{self.threads} thread{'s' * (self.threads > 1)} each"
        own = f", GPUs {', '.join(self.gpus)}" if self.gpus else ""
        return f"{self.places} at once, {each}{own}"

    def start(self, run: Run, words: Sequence[str], place: int) -> Process:
        run.folder.mkdir(parents=True, exist_ok=True)
        with (run.folder / LOG).open("ab") as out:
            child = subprocess.Popen(
                command_line(words),
                env=self.environment(os.environ, place),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the sweep, which ends its runs itself
            )
        began = locks.process_start(child.pid)
        told = {**locks.me(), "pid": child.pid, "start": began, "place": place}
        write_json(run.folder / JOB, {**told, "gpu": self.gpus[place] if self.gpus else None})
        return Process(pid=child.pid, began=began, place=place, child=child)

    def environment(self, given: Mapping[str, str], place: int) -> dict[str, str]:
        """What a run is handed: its threads, its GPU, and no word of the sweep's own W&B run."""
        kept = {k: v for k, v in given.items() if not k.lstrip("_").startswith(NOT_HANDED_ON)}
        own = {name: str(self.threads) for name in THREADS}
        own |= {machine.VISIBLE: self.gpus[place]} if self.gpus else {}
        return {**kept, **own}

    def find(self, run: Run) -> Process | None:
        launch = run.launch  # a sweep that was killed as it began the run has left no job.json
        for told in (job_of(run), launch.told if launch and launch.state == "running" else {}):
            if told.get("start") is None or told.get("host") != locks.me()["host"]:
                continue
            found = Process(pid=told["pid"], began=told["start"], place=self.place_of(told))
            if not found.is_over():
                return found
        return None

    def place_of(self, told: Mapping[str, Any]) -> int | None:
        """The place that a run has: of several with its GPU the one that it began in."""
        place, gpu = told.get("place"), told.get("gpu")
        if place is None or not self.gpus:
            return place if place is not None and place < self.places else None
        fits = [n for n, one in enumerate(self.gpus[: self.places]) if one == gpu]
        return place if place in fits else fits[0] if fits else None


def job_of(run: Run) -> dict[str, Any]:
    """What a run's ``job.json`` holds; nothing where there is none."""
    try:
        told = json.loads((run.folder / JOB).read_text(encoding="utf-8"))
        return told if {"pid", "start"} <= told.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}


def command_line(words: Sequence[str]) -> list[str]:
    """The process of one launch."""
    return [sys.executable, str(LAUNCH), *words]
