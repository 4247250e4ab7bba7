"""Training rows and histories as whole numbers: items by their column in the catalogue."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from mllmrec.records import Prepared, columns


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Users' training interactions one behind the other; user n's end at ``ends[n]``."""

    items: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, lists: pl.Series, catalogue: pl.Series) -> Self:
        """From lists of ids, oldest first."""
        return cls(items=columns(lists.explode().drop_nulls(), catalogue), ends=ends(lists))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Samples to rank: histories, targets, and what else a user has that is never recommended.

    ``seen`` are cells of the table (samples, items), by row and column.
    """

    histories: list[np.ndarray]
    targets: np.ndarray
    seen: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, samples: pl.DataFrame, prepared: Prepared, length: int) -> Self:
        """Samples of a split; a user's other items are those of the training interactions."""
        catalogue = prepared.items["item_id"]
        cells = (
            samples.with_row_index("row")
            .select("row", "user_id", "target")
            .join(
                prepared.sequences.select("user_id", "items"), on="user_id", maintain_order="left"
            )
            .explode("items")
            .filter(pl.col("items") != pl.col("target"))
        )
        return cls(
            histories=numbered(samples["history"], catalogue, length),
            targets=columns(samples["target"], catalogue),
            seen=(cells["row"].to_numpy(), columns(cells["items"], catalogue)),
        )

    def part(self, start: int, stop: int) -> Self:
        """Some samples, one behind the other."""
        rows, cells = self.seen
        kept = slice(*np.searchsorted(rows, (start, stop)))
        return type(self)(
            histories=self.histories[start:stop],
            targets=self.targets[start:stop],
            seen=(rows[kept] - start, cells[kept]),
        )


def ends(lists: pl.Series) -> np.ndarray:
    return np.cumsum(lists.list.len().cast(pl.Int64).to_numpy())


def numbered(
    lists: pl.Series | Sequence[Sequence[str]], catalogue: pl.Series, length: int
) -> list[np.ndarray]:
    """The last ``length`` items of each list of ids."""
    lists = pl.Series(lists, dtype=pl.List(pl.String)).list.tail(length)
    flat = columns(lists.explode().drop_nulls(), catalogue)
    return np.split(flat, ends(lists)[:-1]) if len(lists) else []


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Rows of training: where each begins, how many items it has, how many of the last are told."""

    start: np.ndarray
    size: np.ndarray
    told: np.ndarray


def windows(sequences: Sequences, length: int, stride: int, rng: np.random.Generator) -> Windows:
    """Every item but a user's first is told once, from up to ``length`` items before it.

    A row has at most ``length`` + 1 items, and the next one of the same user ends ``stride``
    items later; the first ends where it is drawn, so that rows are cut anew each time.
    """
    first = np.concatenate([[0], sequences.ends[:-1]])
    targets = np.maximum(sequences.ends - first - 1, 0)
    offset = length - stride + rng.integers(1, stride + 1, size=len(targets))
    begun = np.where(targets > length, offset, targets)  # targets up to the first row's end
    count = np.where(targets > 0, 1 - (begun - targets) // stride, 0)
    user = np.repeat(np.arange(len(targets)), count)
    number = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    end = np.minimum(begun[user] + number * stride, targets[user])
    before = np.where(number > 0, begun[user] + (number - 1) * stride, 0)
    size = np.minimum(end, length) + 1
    return Windows(start=first[user] + end + 1 - size, size=size, told=end - before)


def batches(rows: Windows, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The numbers of all rows in batches of one length each, in an order that is drawn."""
    order = rng.permutation(len(rows.size))
    order = order[np.argsort(rows.size[order], kind="stable")]
    cuts = np.flatnonzero(np.diff(rows.size[order])) + 1
    parts = [
        one[start : start + size]
        for one in np.split(order, cuts)
        for start in range(0, len(one), size)
    ]
    return [parts[n] for n in rng.permutation(len(parts))]


def gathered(
    sequences: Sequences, rows: Windows, some: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The items of rows of one length, and which are told."""
    places = np.arange(rows.size[some[0]])
    told = places >= len(places) - rows.told[some][:, None]
    return sequences.items[rows.start[some][:, None] + places], told


def by_length(histories: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The numbers of the histories of each length."""
    lengths = np.array([len(one) for one in histories])
    return (np.flatnonzero(lengths == length) for length in np.unique(lengths))
