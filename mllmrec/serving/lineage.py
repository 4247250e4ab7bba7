"""What an artifact was made from, down to the data, as the manifests of a store tell it."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mllmrec.artifacts import MANIFEST, Artifact
from mllmrec.redact import Scrubber

TOLD = ("identity", "metrics", "versions", "git")


def lineage(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """These artifacts and all below them, each after what it stands on.

    Secrets are taken out, and the name of the home folder, which a knob may hold.

    Each has ``label``, ``stage``, ``id``, ``identity``, ``metrics``, ``versions`` and ``git``; one
    that is in the store no longer its ``id`` alone. Times are left out: the same artifacts give the
    same text.
    """
    scrub, found = Scrubber(os.environ), dict[str, dict[str, Any]]()
    for folder in folders:
        add(folder, scrub, found)
    return list(found.values())


def add(folder: Path, scrub: Scrubber, found: dict[str, dict[str, Any]]) -> None:
    if folder.name in found:
        return
    if not (folder / MANIFEST).is_file():
        found[folder.name] = {"id": folder.name, "stage": folder.parent.name, "label": "?"}
        return
    manifest = Artifact(folder=folder).manifest
    for id in manifest["identity"]["inputs"].values():
        add(beside(folder, id), scrub, found)
    named = {name: manifest[name] for name in ("label", "stage", "id")}
    found[folder.name] = named | {name: homeless(scrub.tree(manifest[name])) for name in TOLD}


def homeless(tree: Any) -> Any:
    """Plain JSON values in which ``~`` stands for the home folder."""
    if isinstance(tree, dict):
        return {name: homeless(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [homeless(value) for value in tree]
    home = str(Path.home())
    is_named = isinstance(tree, str) and len(home) > 1  # "/" is everybody's
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", tree) if is_named else tree


def beside(folder: Path, id: str) -> Path:
    """The folder of another artifact of the same dataset, whatever its stage."""
    there = sorted(folder.parents[1].glob(f"[!.]*/{id}"))
    return there[0] if there else folder.parents[1] / "?" / id


def step(line: Iterable[Mapping[str, Any]], label: str) -> Mapping[str, Any] | None:
    """The artifact of this label, if it is there."""
    return next((one for one in line if one["label"] == label), None)


def trained_on(line: Iterable[Mapping[str, Any]]) -> str | None:
    """The protocol of the training prompts, ``prepare.train_protocol``; None if it is not told."""
    prepared = step(line, "prepare") or {}
    found: str | None = prepared.get("identity", {}).get("knobs", {}).get("train_protocol")
    return found
