"""Which artifacts a launch needs: one small file a launch, alive while its run folder is.

Deleting a run folder (``outputs/…``) is how a user says that a launch is no longer wanted.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from mllmrec.artifacts import Store, digest, write_json

ROOTS = ".roots"


def remember(store: Store, run_folder: Path, ids: Iterable[str]) -> None:
    """Note which artifacts the launch in this run folder stands on."""
    folder = store.root / ROOTS
    folder.mkdir(parents=True, exist_ok=True)
    where = str(run_folder.absolute())
    write_json(folder / f"{digest(where)}.json", {"folder": where, "ids": sorted(ids)})


def users(store: Store) -> dict[str, list[str]]:
    """For each artifact's id, the run folders that still stand on it."""
    found: dict[str, list[str]] = {}
    for path in sorted((store.root / ROOTS).glob("*.json")):
        root = json.loads(path.read_text())
        if Path(root["folder"]).is_dir():
            for id in root["ids"]:
                found.setdefault(id, []).append(root["folder"])
    return found


def forget_dead(store: Store) -> None:
    """Remove the notes of launches whose run folder is gone."""
    for path in (store.root / ROOTS).glob("*.json"):
        if not Path(json.loads(path.read_text())["folder"]).is_dir():
            path.unlink(missing_ok=True)
