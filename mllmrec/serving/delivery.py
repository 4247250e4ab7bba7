"""Copies of what was made, where the user wants them; what is the user's own is never replaced."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mllmrec.artifacts import MANIFEST, file_digest, folder_files
from mllmrec.errors import Refusal

log = logging.getLogger(__name__)

SHOWN = 3  # files of the user's that are named


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is copied, so that an earlier copy is known by its content.

    ``others`` are the files there that no copy has written; None of what is no copy at all.
    """

    name: str
    others: Callable[[Path], Sequence[str] | None]


def check_free(knob: str, to: Path, kind: Kind, *, overwrite: bool) -> None:
    """Refuse a place where anything stands but an earlier copy that may be replaced.

    Raises:
        Refusal: there is such a thing.
    """
    if not os.path.lexists(to) or is_empty(to):
        return
    others = None if to.is_symlink() else kind.others(to)
    allowed = f"a new path, or {knob.partition('.')[0]}.overwrite=true for {kind.name} and no more"
    if others is None:
        raise Refusal(
            f"{knob}={to}: is there already, and is not {kind.name}",
            allowed=allowed,
            do=f"type another {knob}",
        )
    if others:
        more = f" and {len(others) - SHOWN} more" * (len(others) > SHOWN)
        raise Refusal(
            f"{knob}={to}: is there already, with {', '.join(others[:SHOWN])}{more} of your own",
            allowed=allowed,
            do=f"move them elsewhere, or type another {knob}",
        )
    if not overwrite:
        raise Refusal(
            f"{knob}={to}: is there already",
            allowed=allowed,
            do=f"type another {knob}, or {knob.partition('.')[0]}.overwrite=true",
        )


def deliver(knob: str, source: Path, to: Path, kind: Kind, *, overwrite: bool) -> None:
    """Copy a file or a folder in one rename; the same again is left alone.

    An earlier copy is set aside, and goes once the new one stands, so that a kill loses neither:
    the repeated command finds the place free and ends what was begun.

    Raises:
        Refusal: as ``check_free``.
    """
    to = to.expanduser().absolute()
    scratch, older = (to.with_name(f".{to.name}.mllmrec-{part}") for part in ("partial", "old"))
    if is_same(source, to):
        log.info("%s=%s: the same is there already", knob, to)
        discard(older)  # a kill came between the last rename and this
        return
    check_free(knob, to, kind, overwrite=overwrite)
    to.parent.mkdir(parents=True, exist_ok=True)
    discard(scratch)  # of a copy that was killed
    if source.is_dir():
        shutil.copytree(source, scratch, ignore=shutil.ignore_patterns(MANIFEST))
    else:
        shutil.copyfile(source, scratch)
    if os.path.lexists(to) and not is_empty(to):
        discard(older)  # the place holds a whole copy
        to.rename(older)
    scratch.rename(to)
    discard(older)
    log.info("%s=%s: written", knob, to)


def is_same(source: Path, to: Path) -> bool:
    """Whether all that would be written is there, and nothing else."""
    if source.is_dir():
        return to.is_dir() and folder_files(source) == folder_files(to)
    return to.is_file() and file_digest(source) == file_digest(to)


def is_empty(path: Path) -> bool:
    """Whether it is a folder with nothing in it, over which another may be renamed."""
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
