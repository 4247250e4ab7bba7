"""The jobs of a multirun (``-m``): each tells of itself in its folder, by ``job.json``.

Jobs run in this process, in others or on other machines, and may be killed: what is known of them
all is read from their files.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import current_process
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig

from mllmrec import locks
from mllmrec.artifacts import write_json
from mllmrec.grid import gpus
from mllmrec.redact import Scrubber

JOB, OUTPUT = "job.json", "output.log"
WORKERS = ("ProcessesLauncher", "JoblibLauncher")


@dataclass(frozen=True, kw_only=True)
class Note:
    """What one job has told: ``state`` is running, done, failed or killed.

    ``subdir`` is where its folder lies in that of its multirun.
    """

    folder: Path
    subdir: str
    number: int
    state: str
    overrides: tuple[str, ...]
    gpu: str | None
    began: datetime
    ended: datetime | None

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.began).total_seconds() if self.ended else None


@contextmanager
def told(hydra: DictConfig) -> Iterator[None]:
    """Keep the ``job.json`` of a job of a multirun; of a single launch there is none.

    A job in a worker process gets a GPU of its own, and its output goes into its folder: side by
    side on one terminal they could not be read.
    """
    if hydra.mode != RunMode.MULTIRUN:
        yield
        return
    folder, scrub = Path(hydra.runtime.output_dir), Scrubber(os.environ)
    said: dict[str, Any] = {
        "state": "running",
        "number": int(hydra.job.num),
        "subdir": os.path.relpath(folder, hydra.sweep.dir),
        "overrides": [scrub.override(str(word)) for word in hydra.overrides.task],
        **locks.me(),
        "gpu": None,
        "began": now(),
        "ended": None,
    }
    write_json(folder / JOB, said)
    try:
        if is_worker(hydra):
            said["gpu"] = gpus.claim(Path(hydra.sweep.dir) / ".gpus")
            write_json(folder / JOB, said)
            with written_to(folder / OUTPUT):
                yield
        else:
            yield
        said["state"] = "done"
    except BaseException:
        said["state"] = "failed"
        raise
    finally:
        write_json(folder / JOB, {**said, "ended": now()})


def is_worker(hydra: DictConfig) -> bool:
    """Whether the job has a process on this machine that it may do with as it likes."""
    return kind_of(hydra.launcher) in WORKERS and current_process().name != "MainProcess"


def kind_of(launcher: DictConfig) -> str:
    """The name of a launcher's class."""
    return str(launcher.get("_target_", "")).rpartition(".")[2]


@contextmanager
def written_to(file: Path) -> Iterator[None]:
    """Send what this process writes on its standard output and error into a file meanwhile."""
    streams = (sys.stdout, sys.stderr)
    kept = [os.dup(number) for number in (1, 2)]
    with file.open("ab") as out:
        for stream, number in zip(streams, (1, 2), strict=True):
            stream.flush()
            os.dup2(out.fileno(), number)
    try:
        yield
    finally:
        for stream, number, old in zip(streams, (1, 2), kept, strict=True):
            stream.flush()
            os.dup2(old, number)
            os.close(old)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def notes(folder: Path) -> list[Note]:
    """What the jobs of a multirun have told so far, by their numbers.

    Other multiruns, and sweeps, may lie below the same folder: theirs are left out.
    """
    found = [read(path) for path in folder.rglob(JOB)]
    own = [note for note in found if note and note.folder == folder / note.subdir]
    return sorted(own, key=lambda note: note.number)


def read(path: Path) -> Note | None:
    """One job's note; None where it was not readable at this moment."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        here = said["host"] == socket.gethostname()
        gone = here and locks.process_start(said["pid"]) != said["start"]
        return Note(
            folder=path.parent,
            subdir=said["subdir"],
            number=said["number"],
            state="killed" if said["state"] == "running" and gone else said["state"],
            overrides=tuple(said["overrides"]),
            gpu=said["gpu"],
            began=datetime.fromisoformat(said["began"]),
            ended=datetime.fromisoformat(said["ended"]) if said["ended"] else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
