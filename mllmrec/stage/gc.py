"""Goal ``gc``: remove what no launch needs any longer."""

import shutil
import sys
from pathlib import Path

from mllmrec import locks, roots
from mllmrec.artifacts import PARTIAL, Store
from mllmrec.errors import Refusal
from mllmrec.report.tables import console, human
from mllmrec.stage.command import Asked, Command


class Gc(Command):
    """Artifacts and unfinished builds on which no existing run folder stands.

    What a running process is building is never touched.
    """

    def execute(self, asked: Asked) -> None:
        store = asked.store
        doomed = loose(store)
        if not doomed:
            console().print("nothing to remove: every artifact belongs to an existing run folder")
            return
        for folder in doomed:
            console().print(f"{folder.relative_to(store.root)}  {human(size_of(folder))}")
        if not (asked.yes or agreed(len(doomed))):
            console().print("nothing was removed")
            return
        still = set(loose(store))  # a launch may have begun while the question stood
        doomed = [folder for folder in doomed if folder in still]
        freed = sum(map(size_of, doomed))
        for folder in doomed:
            remove(folder)
        roots.forget_dead(store)
        console().print(f"removed {len(doomed)} folders, {human(freed)}")


def loose(store: Store) -> list[Path]:
    """The folders that no run folder stands on and no living process builds."""
    needed = roots.users(store)
    found = sorted(store.root.glob("[!.]*/*/.old-*"))  # first: others step aside to such names
    found += [a.folder for a in store if a.id not in needed]
    found += [p for p in store.partials() if p.name.removeprefix(PARTIAL) not in needed]
    return [folder for folder in found if not is_being_built(folder)]


def agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise Refusal(
            f"stage=gc would remove {count} folders and there is no terminal to ask",
            allowed="an answer",
            do="type yes=true to remove them",
        )
    return input(f"remove these {count} folders? [y/N] ").strip().lower() in ("y", "yes")


def is_being_built(folder: Path) -> bool:
    id = folder.name.removeprefix(PARTIAL).removeprefix(".old-")
    lock = folder.with_name(f".lock-{id}")
    return lock.exists() and not locks.is_dead(lock)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove(folder: Path) -> None:
    """Take an artifact out of sight by one rename before its files go, so none is seen halved."""
    hidden = folder.with_name(f".old-{folder.name.lstrip('.')}")
    if folder != hidden:
        folder.rename(hidden)
    shutil.rmtree(hidden)
