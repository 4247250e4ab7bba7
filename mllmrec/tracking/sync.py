"""Sends what runs recorded on disk: of each run, its parts in order, what the server does not have.

``wandb sync`` appends to what the server has of a run, so that one that was cut off and is sent
again is there twice. Here the server is asked for the rows of a run's history first, and the parts
of the run become one record of those that it lacks (``record.joined``).
"""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock

from mllmrec import locks
from mllmrec.artifacts import write_json
from mllmrec.errors import Refusal
from mllmrec.tracking import record, sent
from mllmrec.tracking.access import rows_there
from mllmrec.tracking.folders import SERVICE, own_folders
from mllmrec.tracking.unfinished import is_running

log = logging.getLogger(__name__)

PART = re.compile(r"(?P<offline>offline-)?run-(?P<began>\d{8}_\d{6})-(?P<id>.+)")
PID = "pid.json"  # who sends at this moment
WRITTEN_ANEW = {"config.yaml", "wandb-summary.json", "wandb-metadata.json", "output.log"}


@dataclass(frozen=True)
class Kept:
    """A run that this machine has recorded: its W&B id, and the folders of its parts in order."""

    id: str
    parts: tuple[Path, ...]

    @property
    def began(self) -> str:
        """``2026-11-21 18:05``, by the name of its first part."""
        day, clock = told(self.parts[0])["began"].split("_")
        return f"{day[:4]}-{day[4:6]}-{day[6:]} {clock[:2]}:{clock[2:4]}"

    def state(self, home: Path) -> Literal["running", "sent", "unsent", "empty"]:
        """Whether the server has all of it; empty where a kill left no record."""
        if not any(parts_with_records(self)):
            return "empty"
        if is_running(home, self.id):
            return "running"
        return "sent" if all(map(sent.is_sent, parts_with_records(self))) else "unsent"


def told(part: Path) -> dict[str, str]:
    """What the name of a part's folder tells; nothing of another folder.

    A second part of the same second is told by a number behind the id, so the id is that of the
    record within, where there is one.
    """
    found = PART.fullmatch(part.name)
    if not found:
        return {}
    record_name = next(part.glob("run-*.wandb"), None)
    id = record_name.stem.removeprefix("run-") if record_name else found["id"]
    return {**found.groupdict(""), "id": id, "number": found["id"].removeprefix(id).strip("-")}


def place(part: Path) -> tuple[str, bool, int]:
    """When a part began among those of its run; one on disk follows one online."""
    name = told(part)
    return name["began"], bool(name["offline"]), int(name["number"] or 0)


def parts_with_records(run: Kept) -> list[Path]:
    return [part for part in run.parts if any(part.glob("run-*.wandb"))]


def kept(home: Path) -> list[Kept]:
    """All runs in W&B's folder, the oldest first."""
    by: dict[str, list[Path]] = defaultdict(list)
    for part in home.iterdir() if home.is_dir() else []:
        if part.is_dir() and not part.is_symlink() and told(part):
            by[told(part)["id"]].append(part)
    runs = [Kept(id, tuple(sorted(parts, key=place))) for id, parts in by.items()]
    return sorted(runs, key=lambda run: (place(run.parts[0]), run.id))


def whole(run: Kept, home: Path, rows: Collection[float]) -> Path:
    """One folder, as W&B would have made it, of all the parts of a run, without these rows."""
    folder = home / "sending" / f"offline-run-{told(run.parts[0])['began']}-{run.id}"
    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    (folder / "files").mkdir(parents=True)
    parts = parts_with_records(run)
    records = (there(one, home) for one in record.joined(parts, rows))
    record.write(folder / f"run-{run.id}.wandb", (one for one in records if one is not None))
    for part in parts:
        for file in sorted((part / "files").rglob("*")):
            link = folder / "files" / file.relative_to(part / "files")
            if file.is_file() and file.name not in WRITTEN_ANEW and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.resolve())
    return folder


def there(one: Any, home: Path) -> Any | None:
    """A record whose staged files are where it says, as the whole folder may have been moved.

    None, and said, where they are gone: the server would wait for them for ever.
    """
    if one.WhichOneof("record_type") != "artifact":
        return one
    for entry in one.artifact.manifest.contents:
        file = Path(entry.local_path)
        if not entry.local_path or file.exists():
            continue
        moved = home / "data" / "artifacts" / "staging" / file.name
        if not moved.exists():
            log.warning("%s is left out: its staged file %s is gone", one.artifact.name, file)
            return None
        entry.local_path = str(moved)
    return one


def send(run: Kept, home: Path, timeout: float) -> None:
    """Send what the server lacks of a run and mark its parts; killed, it can be done again.

    Raises:
        ConnectionError: the server does not answer, or refuses us.
        OSError: it did not take this run; the message is W&B's.
    """
    sizes = {part: record.file_of(part).stat().st_size for part in parts_with_records(run)}
    about = record.run_of(next(iter(sizes)))
    with own_folders(home):
        folder = whole(run, home, rows_there(about.entity, about.project, run.id))
        said = carried(folder, timeout)
    if not (folder / f"run-{run.id}.wandb.synced").exists():
        raise OSError(said)
    for part, size in sizes.items():
        sent.mark(part, size)
    shutil.rmtree(folder, ignore_errors=True)


def carried(folder: Path, timeout: float) -> str:
    """Have W&B's own command send a folder; what it said last."""
    words = [sys.executable, "-m", "wandb", "sync", "--yes", str(folder)]
    env = {**os.environ, "WANDB_ERROR_REPORTING": "false"}
    env.pop(SERVICE, None)  # else ending this process would not end the sending
    out = folder.with_suffix(".log")
    with out.open("w") as file:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=env, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        start = locks.process_start(process.pid)
        write_json(folder.parent / PID, {"pid": process.pid, "start": start})
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            file.write(f"\nno end within {timeout:g} s")
        finally:
            end_all(process.pid)
            process.wait()
            (folder.parent / PID).unlink()
    lines = [line.removeprefix("wandb: ").strip() for line in out.read_text().splitlines()]
    out.unlink()
    return " ".join(line for line in lines if line)[-400:] or "it said nothing"


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Be the only one who sends from this folder; what a killed one has left running is ended.

    Raises:
        Refusal: another process is sending.
    """
    folder = home / "sending"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = filelock.FileLock(folder / "lock").acquire(timeout=0)
    except filelock.Timeout as error:
        raise Refusal(
            f"{home}: another process is sending its runs",
            allowed="one stage=sync at a time in a folder",
            do="wait for it, then repeat the command",
        ) from error
    with lock:
        with suppress(OSError, ValueError, KeyError):
            left = json.loads((folder / PID).read_text())
            if locks.process_start(left["pid"]) == left["start"]:
                end_all(left["pid"])
        yield


def end_all(pid: int) -> None:
    """End W&B's command and the process of its own that it starts."""
    for child in [*children_of(pid), pid]:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, where the system tells (/proc)."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in file.read_text().split()]
    return found
