"""Take what was made elsewhere: its content becomes its identity."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mllmrec.artifacts import MANIFEST, digest, folder_files
from mllmrec.errors import Refusal
from mllmrec.stage.base import Metrics


def identity(folder: Path, stage: str) -> dict[str, Any]:
    """The identity of an adopted folder.

    Raises:
        Refusal: there is no such folder, or it is empty.
    """
    files = folder_files(folder) if folder.is_dir() else {}
    if not files:
        raise Refusal(
            f"{stage}.adopt={folder}: no such folder, or nothing in it",
            allowed="a folder that holds what the stage would have made",
            do=f"type {stage}.adopt=DIR, or {stage}.adopt=null to have it made",
        )
    return {"adopted": digest(files)}


def take(folder: Path, out: Path, check: Callable[[Path], None]) -> Metrics:
    """Copy an adopted folder into an artifact, once ``check`` has found it whole.

    The manifest of one that was an artifact stays behind: in an unpublished folder it would say
    that the copy is complete before it is.
    """
    check(folder)

    def left_out(at: str, names: list[str]) -> list[str]:
        return [MANIFEST] if Path(at) == folder else []

    shutil.copytree(folder, out, dirs_exist_ok=True, ignore=left_out)
    return {}
