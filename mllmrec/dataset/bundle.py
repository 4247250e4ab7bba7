"""The published sets as they are handed on: one in a folder, or several, or all in one zip.

A set is a folder with a ``train.tsv``. In a zip it is read where it lies: members are found by
their names within the folder of the set, and nothing is ever written by a name from the archive.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from mllmrec.dataset import base
from mllmrec.dataset.opening import Guarded, guarded
from mllmrec.errors import Refusal

MARK = "train.tsv"  # what a folder of a set holds
DEPTH = 2  # folders below the top in which a set is looked for
SMALL, RATIO = 1 << 26, 100  # bytes that a zip may hold in any case, and how often its own size
ENCRYPTED = 0x1  # in the flags of a member


class Member(zipfile.Path):
    """A member of a zip, or a folder in it, with what our readers use of a path."""

    def open(self, mode: str = "rb") -> BinaryIO:  # type: ignore[override]
        with guarded(str(self)):
            return cast(BinaryIO, Guarded(self.root.open(self.at), str(self)))

    def iterdir(self) -> Iterator["Member"]:
        return (Member(self.root, name) for name in children(self.root).get(self.at, ()))

    @property
    def size(self) -> int:
        """Bytes, as the zip declares them; zipfile reads no more than these."""
        return self.root.getinfo(self.at).file_size


def folder(path: str | None, name: str | None, *, dataset: str) -> Path:
    """The folder of a set: ``path`` itself, or one in it that goes by ``name``.

    Raises:
        Refusal: there is none, there are several and none is named, or the zip cannot be trusted.
    """
    if path and zipfile.is_zipfile(path):
        stat = Path(path).stat()
        top = cast(Path, Member(opened(path, stat.st_mtime_ns, stat.st_size)))
    elif path and Path(path).is_file():
        raise no_zip(path)
    else:
        top = base.folder_of(path, name=dataset)
    places = [] if (top / MARK).is_file() else list(found(top, DEPTH))
    sets = {place.name: place for place in places}
    if not places:
        return top
    if len(sets) == len(places) and (name in sets or (len(sets) == 1 and name is None)):
        return sets[name or places[0].name]
    if len(sets) < len(places):
        raise Refusal(
            f"{path}: sets of one name in several folders: {', '.join(map(str, places))}",
            allowed="a name for each, so that dataset.name says which",
            do="dataset.path=DIR with the folder of the one that is meant",
        )
    raise Refusal(
        f"{path}: {'no set ' + name if name else 'several sets'}; there are {', '.join(sets)}",
        allowed="one of them, named by dataset.name",
        do=f"dataset.name={places[0].name}",
    )


def found(top: Path, depth: int) -> Iterator[Path]:
    """The folders of sets below a folder, in order of their names."""
    try:
        below = [place for place in top.iterdir() if place.is_dir()] if depth else []
    except PermissionError:
        return  # somebody else's, so no set of ours
    for place in sorted(below, key=lambda place: place.name):
        if (place / MARK).is_file():
            yield place
        else:
            yield from found(place, depth - 1)


@lru_cache(maxsize=4)
def children(archive: zipfile.ZipFile) -> dict[str, list[str]]:
    """What each folder of a zip holds, where zipfile would go through all names for each."""
    held: dict[str, list[str]] = {}
    for name in archive.namelist():  # of the folders too, as zipfile.Path has had it completed
        above, slash, _ = name.removesuffix("/").rpartition("/")
        held.setdefault(above + slash, []).append(name)
    return held


@lru_cache(maxsize=4)
def opened(path: str, changed: int, size: int) -> zipfile.ZipFile:
    """The zip, once it is seen to be none that harms."""
    with guarded(path):
        archive = zipfile.ZipFile(path)
    wrong = next(filter(None, map(fault, archive.infolist())), None)
    declared, most = sum(info.file_size for info in archive.infolist()), max(SMALL, RATIO * size)
    if declared > most:
        wrong = f"says to hold {declared} bytes in {size}, more than {most}"
    if wrong:
        raise Refusal(
            f"{path}: {wrong}",
            allowed=f"members without a password, in folders of the zip, {RATIO} times its size",
            do=f"look into it with: unzip -l '{path}', unpack what you trust, and type"
            " dataset.path=DIR",
        )
    return archive


def fault(info: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member of a zip."""
    parts = info.filename.removesuffix("/").split("/")
    if "\\" in info.filename or {"", ".", ".."} & {*parts} or PurePosixPath(info.filename).drive:
        return f"member '{info.filename:.100}' names a place outside of it"
    if info.flag_bits & ENCRYPTED:
        return f"member '{info.filename:.100}' wants a password"
    return None


def no_zip(path: str) -> Refusal:
    return Refusal(
        f"dataset.path={path}: is no folder, and no zip that is whole",
        allowed="a folder, or a .zip of folders, with train.tsv, test.tsv and NAME_titles.csv",
        do="fetch it again, or type dataset.path=DIR",
    )


def present(file: Path, *, layout: str, name: str) -> Path:
    """The file itself; refuses one that is missing or holds nothing."""
    if not isinstance(file, Member):
        return base.present(file, layout=layout, name=name)
    if not file.is_file() or not file.size:
        raise Refusal(
            f"{file}: {'the file is empty' if file.is_file() else 'no such file'}",
            allowed=f"dataset={name} reads {layout}",
            do="dataset.path=FILE.zip or DIR with one that holds it",
        )
    return file


def sha256(file: Path) -> str:
    """The hash of a file's bytes, wherever it lies; those of a zip are read once."""
    return _sha256(file.root, file.at) if isinstance(file, Member) else base.sha256(file)


@cache
def _sha256(archive: zipfile.ZipFile, name: str) -> str:
    with guarded(f"{archive.filename}/{name}"), archive.open(name) as handle:
        digest = hashlib.sha256()
        while data := handle.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()
