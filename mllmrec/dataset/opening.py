"""Files as their owners pack them: plain, or in gzip; damage is told by the file's name."""

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from mllmrec.errors import Refusal

LONGEST = 1 << 28  # bytes without a line end that are still taken for a line
DAMAGE = (
    EOFError,
    OSError,
    RuntimeError,  # of zipfile: a password is wanted; NotImplementedError is one too
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)


class Guarded:
    """A file that is read from first to last, and refused where it cannot be.

    Raises:
        Refusal: the bytes are damaged, or hold no line end for ``LONGEST`` bytes, so that a small
            archive of nothing cannot fill the memory.
    """

    def __init__(self, handle: IO[bytes], name: str) -> None:
        self.handle, self.name, self.bare = handle, name, 0

    def read(self, size: int = -1) -> bytes:
        try:
            data = self.handle.read(size)
        except DAMAGE as error:
            raise damaged(self.name, error) from error
        end = data.rfind(b"\n")
        self.bare = self.bare + len(data) if end < 0 else len(data) - end - 1
        if self.bare > LONGEST:
            raise Refusal(
                f"{self.name}: {self.bare} bytes without a line end",
                allowed=f"text in lines of at most {LONGEST} bytes",
                do="fetch the file again, or name another one",
            )
        return data

    def __enter__(self) -> "Guarded":
        return self

    def __exit__(self, *raised: object) -> None:
        self.handle.close()


class Unpacked:
    """A file in gzip, read as what it holds; it goes by the name of its file."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name

    def open(self, mode: str = "rb") -> BinaryIO:
        return cast(BinaryIO, Guarded(cast(IO[bytes], gzip.open(self.path)), str(self.path)))

    def __str__(self) -> str:
        return str(self.path)


def text(path: Path) -> Path:
    """The file as what reads lines takes it: itself, or what its gzip holds."""
    return cast(Path, Unpacked(path)) if path.suffix.lower() == ".gz" else path


def kind(path: Path) -> str:
    """What a file is by its name, whatever it is packed in: ``csv`` of ``ratings.csv.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return ([""] + [suffix for suffix in suffixes if suffix != ".gz"])[-1].removeprefix(".")


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """What is done within, with damage told by ``name``."""
    try:
        yield
    except DAMAGE as error:
        raise damaged(name, error) from error


def damaged(name: str, error: BaseException) -> Refusal:
    return Refusal(
        f"{name}: cannot be read ({error or type(error).__name__})",
        allowed="a whole file, as its owner publishes it, without a password",
        do="fetch it again, and compare its size or checksum with its owner's",
    )
