"""Which artifacts a launch needs: one small file a launch, alive while its run folder is.

Deleting a run folder (``outputs/…``) is how a user says that a launch is no longer wanted. A
folder of another host may lie on a disk of its own, so a launch from there counts as alive, and
so does one whose file cannot be read: it may stand on anything.
"""

import json
import logging
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mllmrec.artifacts import PARTIAL, Store, digest, write_json

log = logging.getLogger(__name__)
ROOTS = ".roots"


def remember(store: Store, run_folder: Path, ids: Iterable[str]) -> None:
    """Note which artifacts the launch in this run folder stands on."""
    folder = store.root / ROOTS
    folder.mkdir(parents=True, exist_ok=True)
    said = {"host": socket.gethostname(), "folder": str(run_folder.absolute())}
    write_json(folder / f"{digest(said)}.json", {**said, "ids": sorted(ids)})


def users(store: Store) -> dict[str, list[str]]:
    """For each artifact's id, the run folders that still stand on it."""
    found: dict[str, list[str]] = {}
    for path, root in notes(store):
        if root is None:
            log.warning("%s: damaged, so all is kept; remove it if no launch is wanted", path)
            for id in everything(store):
                found.setdefault(id, []).append(str(path))
        elif is_alive(root):
            for id in root["ids"]:
                found.setdefault(id, []).append(root["folder"])
    return found


def everything(store: Store) -> set[str]:
    """The ids of all artifacts and unfinished builds."""
    partials = {path.name.removeprefix(PARTIAL) for path in store.partials()}
    return partials | {artifact.id for artifact in store}


def forget_dead(store: Store) -> None:
    """Remove the notes of launches whose run folder is gone."""
    for path, root in notes(store):
        if root is not None and not is_alive(root):
            path.unlink(missing_ok=True)


def notes(store: Store) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Every note and what it says; None where it is damaged."""
    for path in sorted((store.root / ROOTS).glob("[!.]*.json")):
        try:
            root = json.loads(path.read_text(encoding="utf-8"))
            is_whole = isinstance(root["folder"], str) and isinstance(root["ids"], list)
        except FileNotFoundError:  # removed by another gc meanwhile
            continue
        except (OSError, ValueError, KeyError, TypeError):
            is_whole = False
        yield path, root if is_whole else None


def is_alive(root: dict[str, Any]) -> bool:
    here = socket.gethostname()
    return root.get("host", here) != here or Path(root["folder"]).is_dir()
