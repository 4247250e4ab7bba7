"""Take what was made elsewhere: its content becomes its identity."""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mllmrec.artifacts import MANIFEST, digest, file_digest
from mllmrec.backbone.pretrained import WANTED
from mllmrec.errors import Refusal
from mllmrec.stage.base import Metrics

FRESH = 2.0  # seconds in which a file may change again without its time of change telling of it
T = TypeVar("T")
Stamp = tuple[str, int, int]  # a file's name, its bytes, and when it was changed

_planned: dict[Path, str] = {}  # the content by which a plan knows each folder and file


def identity(folder: Path, stage: str) -> dict[str, Any]:
    """The identity of an adopted folder.

    Raises:
        Refusal: there is no such folder, it holds nothing to take, or it holds links.
    """
    folder = folder.expanduser()
    if not wanted(folder):
        raise Refusal(
            f"{stage}.adopt={folder}: no such folder, or nothing in it of {', '.join(WANTED)}",
            allowed="a folder that holds what the stage would have made",
            do=f"type {stage}.adopt=DIR, or {stage}.adopt=null to have it made",
        )
    _planned[folder] = content(folder)
    return {"adopted": _planned[folder]}


def file_identity(file: Path, stage: str) -> dict[str, Any]:
    """The identity of an adopted file.

    Raises:
        Refusal: there is no such file, or it is empty.
    """
    file = file.expanduser()
    if not file.is_file() or not file.stat().st_size:
        raise Refusal(
            f"{stage}.adopt={file}: no such file, or nothing in it",
            allowed="a file as the published scripts write it (docs/published.md)",
            do=f"type {stage}.adopt=FILE, or {stage}.adopt=null to have it made",
        )
    return files_identity([file])


def files_identity(files: Sequence[Path]) -> dict[str, Any]:
    """The identity of adopted files: what is in them, not where they lie."""
    for file in files:
        _planned[file] = file_content(file)
    return {"adopted": digest(sorted(_planned[file] for file in files))}


def file_content(file: Path) -> str:
    """The digest of a file; read once, as long as it does not seem to have changed."""
    stat = file.stat()
    is_settled = stat.st_mtime_ns < (time.time() - FRESH) * 1e9
    return (kept_bytes if is_settled else bytes_of)(file, stat.st_size, stat.st_mtime_ns)


def read(file: Path, reader: Callable[[Path], T]) -> T:
    """What ``reader`` makes of an adopted file.

    Raises:
        Refusal: ``reader`` raises it, or the file is not what the plan has seen.
    """
    file = file.expanduser()
    made = reader(file)
    if file_content(file) != _planned.get(file, file_content(file)):
        raise changed_meanwhile(file)
    return made


def wanted(folder: Path) -> list[Path]:
    """The files that are taken: by their kind, without the manifest of what was an artifact.

    In an unpublished folder a manifest would say that the copy is complete before it is.

    Raises:
        Refusal: something in the folder is a link, whose content may lie anywhere.
    """
    paths = sorted(folder.rglob("*"))
    for path in paths:
        if path.is_symlink():
            raise Refusal(
                f"{path}: is a link",
                allowed="a folder of whole files",
                do=f"copy it with its links followed, cp -rL {folder} DIR, and type adopt=DIR",
            )
    kinds = [path for path in paths if path.is_file() and any(map(path.match, WANTED))]
    return [path for path in kinds if path != folder / MANIFEST]


def content(folder: Path) -> str:
    """The digest of what would be taken; read once, as long as no file seems to have changed."""
    stamps = []
    for path in wanted(folder):
        stat = path.stat()
        stamps.append((path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    newest = max((changed for _, _, changed in stamps), default=0)
    is_settled = newest < (time.time() - FRESH) * 1e9
    return (kept_digest if is_settled else digest_of)(folder, tuple(stamps))


def digest_of(folder: Path, files: Iterable[Stamp]) -> str:
    said = {name: {"bytes": size, "sha256": file_digest(folder / name)} for name, size, _ in files}
    return digest(said)


def bytes_of(file: Path, size: int, changed: int) -> str:
    return file_digest(file)


kept_digest, kept_bytes = cache(digest_of), cache(bytes_of)


def take(folder: Path, out: Path, check: Callable[[Path], object]) -> Metrics:
    """Copy an adopted folder into an artifact, once ``check`` has found it whole.

    Raises:
        Refusal: ``check`` raises it, or the copy is not what the plan has seen.
    """
    folder = folder.expanduser()
    planned = _planned.get(folder) or content(folder)
    check(folder)
    shutil.rmtree(out)  # a killed copy may have been of other content
    out.mkdir()
    for path in wanted(folder):
        to = out / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    if content(out) != planned:
        raise changed_meanwhile(folder)
    return {}


def changed_meanwhile(path: Path) -> Refusal:
    return Refusal(
        f"{path}: has changed while it was taken",
        allowed=f"a {'folder' if path.is_dir() else 'file'} that nobody writes to meanwhile",
        do="repeat the command once it is finished",
    )
