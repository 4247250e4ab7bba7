"""Interactions as numbers: ids are encoded frame by frame, so that no row keeps its strings."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from mllmrec.progress import Bar
from mllmrec.records import INTERACTIONS

CHUNK = 1 << 22  # rows that are worked on at once; bounds memory, changes nothing

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Coded:
    """Interactions in the order of the file.

    ``user`` and ``item`` (rows,) uint32 are places in ``user_ids`` (in no order that means
    anything) and in ``item_ids`` (sorted); ``time`` (rows,) int64.
    """

    user_ids: pl.Series
    item_ids: pl.Series
    user: Array
    item: Array
    time: Array


def encoded(frames: Iterable[pl.DataFrame]) -> Coded:
    """Numbers for frames (INTERACTIONS) that come one after the other.

    Polars gives each new id the next number, by threads in an order that may differ; items are
    numbered anew by their sorted ids, and nothing hangs on the numbers of users.
    """
    words = {name: pl.Categories.random() for name in ("user_id", "item_id")}
    numbered = [pl.col(name).cast(pl.Categorical(known)) for name, known in words.items()]
    parts: dict[str, list[Array]] = {name: [] for name in INTERACTIONS}
    with Bar("read", None, "interaction") as bar:
        for frame in frames:
            told = frame.select(*(column.to_physical() for column in numbered), pl.col("timestamp"))
            if sum(told.null_count().row(0)):
                raise ValueError(f"interactions have empty fields: {told.null_count().to_dicts()}")
            for name, kept in parts.items():
                kept.append(told[name].to_numpy())
            bar.step(len(told))
    users, items = (known.to_series().rename(name) for name, known in words.items())
    rank = np.empty(len(items), np.uint32)
    order = items.arg_sort().to_numpy()
    rank[order] = np.arange(len(items), dtype=np.uint32)
    return Coded(
        user_ids=users,
        item_ids=items.gather(order),
        user=_joined(parts["user_id"], np.uint32),
        item=gathered(rank, _joined(parts["item_id"], np.uint32)),
        time=_joined(parts["timestamp"], np.int64),
    )


def _joined(parts: list[Array], kind: type) -> Array:
    """The parts in one array; they are let go."""
    whole: Array = np.concatenate([np.empty(0, kind), *parts]).astype(kind, copy=False)
    parts.clear()
    return whole


def gathered(values: Array, places: Array) -> Array:
    """``values[places]``, in chunks: NumPy widens places to 64 bits."""
    out = np.empty(len(places), values.dtype)
    for at in range(0, len(places), CHUNK):
        out[at : at + CHUNK] = values[places[at : at + CHUNK]]
    return out


def counted(numbers: Array, size: int) -> Array:
    """How often each number below ``size`` occurs, in chunks for the same reason: int64."""
    total = np.zeros(size, np.int64)
    for at in range(0, len(numbers), CHUNK):
        total += np.bincount(numbers[at : at + CHUNK], minlength=size)
    return total


def spans(first: Array, length: Array) -> Array:
    """The places of runs, one behind the other: first, first + 1, … for each length."""
    before = np.cumsum(length) - length
    return np.arange(int(length.sum())) + np.repeat(first - before, length)


def starts(length: Array) -> Array:
    """Where each of the lists of these lengths starts, and at last where the last one ends."""
    return np.concatenate([[0], np.cumsum(length)]).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Lists of numbers, one behind the other: list k is ``flat[start[k] : start[k + 1]]``."""

    start: Array
    flat: Array

    @classmethod
    def of(cls, rows: Array) -> Self:
        """The rows of a matrix."""
        return cls(start=np.arange(len(rows) + 1) * rows.shape[1], flat=rows.ravel())

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def length(self) -> Array:
        return np.diff(self.start)

    @property
    def owner(self) -> Array:
        """The number of the list that each entry is of."""
        return np.repeat(np.arange(len(self)), self.length)

    def take(self, numbers: Array) -> "Lists":
        """Some of the lists, in the order of their numbers."""
        length = self.length[numbers]
        flat = self.flat[spans(self.start[numbers], length)]
        return Lists(start=starts(length), flat=flat)

    def part(self, begin: int, end: int) -> "Lists":
        """The lists from one number to before another."""
        start = self.start[begin : end + 1]
        return Lists(start=start - start[0], flat=self.flat[start[0] : start[-1]])

    def strings(self, ids: pl.Series) -> pl.Series:
        """Lists of ids instead of their places among ``ids``."""
        return self._listed(ids.gather(self.flat).cast(pl.String))

    def numbers(self) -> pl.Series:
        return self._listed(pl.Series(self.flat))

    def _listed(self, flat: pl.Series) -> pl.Series:
        import pyarrow as pa

        told = flat.to_arrow(compat_level=pl.CompatLevel.oldest())
        made = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(self.start), told))
        return pl.Series(made, dtype=pl.List(flat.dtype))


def chunks(start: Array, size: int = CHUNK) -> Iterator[tuple[int, int]]:
    """Cut lists into parts (from list, to before list) of about ``size`` entries."""
    begin, lists = 0, len(start) - 1
    while begin < lists:
        end = int(np.searchsorted(start, start[begin] + size, side="right")) - 1
        end = min(max(end, begin + 1), lists)
        yield begin, end
        begin = end
