"""The W&B id of a launch, kept until it ends well, so that the repeated command goes on in it.

A launch has a W&B id of its own, kept in ``<dir>/wandb/unfinished/<launch>.json`` until the launch
ends well. A launch that was killed or failed finds that file when its command is repeated and goes
on under the same id: online at the server, offline in one more ``offline-run-*`` folder whose
record says resume, so that all the parts, sent in order, become one run. A launch that ended well
gets a fresh id when it is repeated, as does one that runs twice at once. Steps between the last
checkpoint and a kill are logged again, at the same ``<stage>/step``.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from mllmrec.artifacts import write_json


@dataclass(kw_only=True)
class Unfinished:
    """The W&B id of one launch and the folders its parts lie in, kept until it ends well."""

    id: str
    parts: list[str] = field(default_factory=list)
    file: Path | None = None

    def add(self, part: Path) -> None:
        self.parts.append(str(part))
        if self.file:
            write_json(self.file, {"id": self.id, "parts": self.parts})

    def finished(self) -> None:
        if self.file:
            self.file.unlink(missing_ok=True)


@contextmanager
def launch_of(home: Path, identity: str | None) -> Iterator[Unfinished]:
    """The unfinished launch of this identity, or a fresh one."""
    fresh = Unfinished(id=secrets.token_hex(4))
    if identity is None:
        yield fresh
        return
    file = home / "unfinished" / f"{identity}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = filelock.FileLock(file.with_suffix(".lock"), timeout=0).acquire()
    except filelock.Timeout:  # the same launch runs at this moment: two writers spoil one run
        yield fresh
        return
    with lock:
        yield kept_in(file) or Unfinished(id=fresh.id, file=file)


def kept_in(file: Path) -> Unfinished | None:
    try:
        return Unfinished(**json.loads(file.read_text()), file=file)
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def running(home: Path, id: str) -> Iterator[None]:
    """Let ``is_running`` say so for the length of the block, however it ends."""
    file = home / "running" / f"{id}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(file)
    with suppress(filelock.Timeout):  # a second launch under one id
        lock.acquire(timeout=0)
    try:
        yield
    finally:
        if lock.is_locked:
            file.unlink(missing_ok=True)
            lock.release()


def is_running(home: Path, id: str) -> bool:
    """Whether a living launch records this run."""
    file = home / "running" / f"{id}.lock"
    if not file.exists():
        return False
    try:
        with filelock.FileLock(file).acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True
