"""What every dataset has: shared filters and words, what identifies it, and one verb, `load`."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import polars as pl
from pydantic import Field, NonNegativeInt, PositiveInt

from mllmrec.errors import Refusal
from mllmrec.schema import Model, NoEffect, Words

ROWS = pl.Schema([("user_id", pl.String()), ("items", pl.List(pl.String)), ("part", pl.String())])


class Oracle(Protocol):
    """The process that made the data, where it is known."""

    def log_probability(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        """Natural log of each next item's probability: (histories, items in the table's order)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What a dataset hands over: unfiltered, already checked, in the order of its files.

    ``items`` (ITEMS). ``interactions`` are frames (INTERACTIONS), one after the other: a large
    file is never whole in memory, so they are read once, from first to last. ``rows`` (ROWS) only
    where the data comes with its own split: ``part`` is train, validation or test, and the last
    item of a row is its target. ``dropped`` counts what was left out while reading, by reason,
    and is complete when the last frame has been read.
    """

    items: pl.DataFrame
    interactions: Iterable[pl.DataFrame]
    rows: pl.DataFrame | None = None
    oracle: Oracle | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)


class Dataset(Model):
    """Knobs that all datasets share."""

    min_interactions: PositiveInt
    k_core: PositiveInt | None
    windows: Literal["last", "sliding"]
    noun: Annotated[str, Field(min_length=1), NoEffect()]
    noun_plural: Annotated[str, Field(min_length=1), NoEffect()]
    verb: Annotated[str, Field(min_length=1), NoEffect()]
    max_bad_rows: Annotated[NonNegativeInt, NoEffect()]

    @property
    def words(self) -> Words:
        """How prompts speak of the items; they change no data, so only prompts depend on them."""
        return Words(noun=self.noun, nouns=self.noun_plural, verb=self.verb)

    @property
    def has_oracle(self) -> bool:
        """Whether `load` knows the process that made the data."""
        return False

    @property
    def has_times(self) -> bool:
        """Whether interactions have times, so that some of them are recent."""
        return True

    @property
    def has_pictures(self) -> bool:
        """Whether items come with pictures, some of them at least."""
        return False

    def content(self) -> dict[str, Any]:
        """What identifies the data beside the knobs: hashes of files, never where they lie."""
        raise NotImplementedError

    def knobs(self) -> dict[str, Any]:
        """The knobs that can change the result, and the content of what they point at."""
        return super().knobs() | {"content": self.content()}

    def load(self, out: Path) -> Tables:
        """Read or make the data; pictures go below ``out``."""
        raise NotImplementedError


def shaped(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The columns of the schema, in its order and types."""
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())


def folder_of(path: str | None, *, name: str) -> Path:
    """The folder that ``dataset.path`` names; refuses none and one that is not there."""
    do = f"python launch.py dataset={name} dataset.path=DIR"
    if path is None:
        raise Refusal(
            f"dataset={name} reads files, and dataset.path is not set",
            allowed="dataset.path is the folder that holds them",
            do=do,
        )
    if not Path(path).is_dir():
        raise Refusal(f"dataset.path: no folder {path!r}", allowed="a folder that exists", do=do)
    return Path(path)


def present(file: Path, *, layout: str, name: str) -> Path:
    """The file itself; refuses one that is missing or holds nothing."""
    do = f"dataset.path=DIR with a DIR that holds it, or dataset=toy (not {name})"
    if not file.is_file():
        raise Refusal(f"{file}: no such file", allowed=f"dataset={name} reads {layout}", do=do)
    if file.stat().st_size == 0:
        raise Refusal(f"{file}: the file is empty", allowed=f"{layout}, at least one row", do=do)
    return file


def sha256(file: Path) -> str:
    """The hash of a file's bytes, in hexadecimal digits; read again only when it changed."""
    stat = file.stat()
    return _sha256(file, stat.st_mtime_ns, stat.st_size)


@cache
def _sha256(file: Path, changed: int, size: int) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
