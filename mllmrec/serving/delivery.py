"""Copies of what was made, where the user wants them; nothing of the user's is ever lost for it."""

import logging
import os
import shutil
from pathlib import Path

from mllmrec.artifacts import MANIFEST, file_digest, folder_files
from mllmrec.errors import Refusal

log = logging.getLogger(__name__)


def check_free(knob: str, to: Path, stamp: str | None, *, overwrite: bool) -> None:
    """Refuse a place where something stands that is not to be replaced.

    Of folders, only an earlier copy, which has the file ``stamp``, is ever replaced.

    Raises:
        Refusal: there is such a thing.
    """
    if not os.path.lexists(to):
        return
    is_ours = not to.is_symlink() and (to.is_file() if stamp is None else (to / stamp).is_file())
    if stamp is not None and to.is_dir() and not any(to.iterdir()):
        return
    node = knob.partition(".")[0]
    if not is_ours:
        kind = "a file" if stamp is None else "an earlier export"
        raise Refusal(
            f"{knob}={to}: is there already, and is not {kind}",
            allowed=f"a new path, or with {node}.overwrite=true that of {kind}",
            do=f"type another {knob}",
        )
    if not overwrite:
        raise Refusal(
            f"{knob}={to}: is there already",
            allowed=f"a new path, or {node}.overwrite=true to replace what is there",
            do=f"type another {knob}, or {node}.overwrite=true",
        )


def deliver(knob: str, source: Path, to: Path, stamp: str | None, *, overwrite: bool) -> None:
    """Copy a file, or a folder that holds ``stamp``, in one rename; the same again is left alone.

    Raises:
        Refusal: as ``check_free``.
    """
    to = to.expanduser().absolute()
    if is_same(source, to):
        log.info("%s=%s: the same is there already", knob, to)
        return
    check_free(knob, to, stamp, overwrite=overwrite)
    to.parent.mkdir(parents=True, exist_ok=True)
    scratch, older = (to.with_name(f".{kind}-{to.name}") for kind in ("partial", "old"))
    for left in (scratch, older):  # by a copy that was killed
        discard(left)
    if source.is_dir():
        shutil.copytree(source, scratch, ignore=shutil.ignore_patterns(MANIFEST))
    else:
        shutil.copyfile(source, scratch)
    if os.path.lexists(to):
        to.rename(older)
    scratch.rename(to)
    discard(older)
    log.info("%s=%s: written", knob, to)


def is_same(source: Path, to: Path) -> bool:
    """Whether all that would be written is there, and nothing else."""
    if source.is_dir():
        return to.is_dir() and folder_files(source) == folder_files(to)
    return to.is_file() and file_digest(source) == file_digest(to)


def discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
