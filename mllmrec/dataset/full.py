"""The protocol ``full``: a target's place among all items but the user's own other ones."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from mllmrec import ranking
from mllmrec.dataset.candidates import FULL
from mllmrec.dataset.coded import Lists, starts
from mllmrec.records import Prepared, columns

log = logging.getLogger(__name__)

CELLS = 4_000_000  # scores held at once: 32 MB
KEPT = 100  # items of a ranking that are stored; the rank is that among all
# histories, oldest item first -> (histories, items)
Catalogue = Callable[[Sequence[Sequence[str]]], np.ndarray]
Scored = Iterator[tuple[slice, np.ndarray]]  # of some samples: the scores of every item


@dataclass(frozen=True, kw_only=True)
class Open:
    """Histories, and of each one the columns of the catalogue that may not be ranked behind it.

    Columns are places in ``ids``. ``samples`` has a row a history (``sample_id``, ``history``);
    ``closed`` (items,) says which items are nobody's candidates; ``own[starts[i]:starts[i + 1]]``
    are the columns that row i bars beside these.
    """

    samples: pl.DataFrame
    ids: pl.Series
    closed: np.ndarray
    own: np.ndarray
    starts: np.ndarray

    def barred(self, row: int) -> np.ndarray:
        """The columns that are no candidates of one row."""
        own = self.own[self.starts[row] : self.starts[row + 1]]
        return np.concatenate([own, np.flatnonzero(self.closed)])

    def masked(self, some: slice, scores: np.ndarray) -> np.ndarray:
        """A copy of the scores of some rows, −inf where an item is no candidate."""
        first, last, _ = some.indices(len(self.samples))
        table = np.array(scores, dtype=np.float64)
        table[:, self.closed] = -np.inf
        counts = np.diff(self.starts[first : last + 1])
        rows = np.repeat(np.arange(last - first), counts)
        table[rows, self.own[self.starts[first] : self.starts[last]]] = -np.inf
        return table

    def by(self, catalogue: Catalogue) -> Scored:
        """The scores of every row's catalogue, as many rows at once as memory allows."""
        for some in chunks(len(self.samples), len(self.ids)):
            yield some, catalogue(self.samples["history"][some].to_list())


@dataclass(frozen=True, kw_only=True)
class Whole(Open):
    """Samples with targets: a target is a candidate, whatever its user has beside it.

    ``target`` (samples,) has the columns of the targets; ``own`` those that a sample's user has in
    any split, the target not among them.
    """

    target: np.ndarray

    @classmethod
    def of(cls, prepared: Prepared, samples: pl.DataFrame) -> Self:
        """All of the pool for these samples, without what their users have chosen otherwise."""
        target = columns(samples["target"], prepared.items["item_id"])
        mine = owned(prepared, samples)
        is_other = mine.flat != np.repeat(target, mine.length)
        return cls(
            samples=samples,
            ids=prepared.items["item_id"],
            target=target,
            closed=~in_pool(prepared),
            own=mine.flat[is_other],
            starts=starts(is_other)[mine.start],
        )

    @cached_property
    def sizes(self) -> np.ndarray:
        """The number of candidates of each sample."""
        open_own = np.concatenate([[0], np.cumsum(~self.closed[self.own])])
        taken = open_own[self.starts[1:]] - open_own[self.starts[:-1]]
        return np.count_nonzero(~self.closed) - taken + self.closed[self.target]

    def barred(self, row: int) -> np.ndarray:
        found = super().barred(row)
        return found[found != self.target[row]]

    def masked(self, some: slice, scores: np.ndarray) -> np.ndarray:
        table = super().masked(some, scores)
        rows, target = np.arange(len(table)), self.target[some]
        table[rows, target] = scores[rows, target]
        return table

    def rankings(self, scored: Iterable[tuple[slice, np.ndarray]], seed: int) -> pl.DataFrame:
        """A row a sample: target, the first KEPT items and their scores, rank, and ``candidates``.

        Equal scores stand in the order that ``ranking`` draws, by the sample's row. An item of
        −inf was not found: it is in no ranking, and as a target MISSED.
        """
        parts = [self.ranked(some, scores, seed) for some, scores in scored]
        found = self.samples.select("sample_id", "target", candidates=pl.Series(self.sizes))
        return pl.concat([found, pl.concat(parts)], how="horizontal")

    def ranked(self, some: slice, scores: np.ndarray, seed: int) -> pl.DataFrame:
        first, last, _ = some.indices(len(self.samples))
        table, target = self.masked(some, scores), self.target[first:last]
        places = ranking.ranks(table, target, seed, first)
        places[np.isneginf(table[np.arange(len(table)), target])] = ranking.MISSED
        top = ranking.best(table, KEPT, seed, first)
        values = np.take_along_axis(table, top, axis=1)
        row, column = np.nonzero(~np.isneginf(values))
        lists = (
            pl.DataFrame(
                {"row": row, "ranked": self.ids.gather(top[row, column])}
                | {"scores": values[row, column]}
            )
            .group_by("row", maintain_order=True)
            .agg("ranked", "scores")
        )
        rows = pl.DataFrame({"row": np.arange(len(table)), "rank": places})
        empty = [pl.col("ranked").fill_null([]), pl.col("scores").fill_null([])]
        return rows.join(lists, on="row", how="left", maintain_order="left").select(*empty, "rank")


def chunks(histories: int, items: int) -> Iterator[slice]:
    """Slices of the histories, each of at most CELLS scores of the catalogue."""
    rows = max(1, CELLS // max(items, 1))
    return (slice(start, start + rows) for start in range(0, histories, rows))


def owned(prepared: Prepared, samples: pl.DataFrame) -> Lists:
    """The columns of all items that each sample's user has in any split: a list a sample."""
    asked = samples.lazy().select("user_id").unique()
    found = (
        prepared.scan("owned")
        .join(asked, on="user_id", how="semi")
        .with_columns(pl.col("items").cast(pl.List(pl.Enum(prepared.items["item_id"]))))
        .collect(engine="streaming")  # ids are text a part at a time
    )
    flat = found["items"].explode().to_physical().cast(pl.UInt32).to_numpy()
    users = found.select("user_id").with_row_index("number")
    number = samples.join(users, on="user_id", how="left", maintain_order="left")["number"]
    length = found["items"].list.len().cast(pl.Int64).to_numpy()
    return Lists(start=starts(length), flat=flat).take(number.to_numpy())


def in_pool(prepared: Prepared) -> np.ndarray:
    """Which items are in the pool: (items,); all of them, unless candidates were adopted.

    Adopted candidates may name items that nobody ever chose, so negatives are not drawn from them.
    """
    size = prepared.items.height
    counted = json.loads((prepared.folder / "stats.json").read_text())["counts"]["items"]
    if counted == size:
        return np.ones(size, dtype=bool)
    met = prepared.scan("owned").select(pl.col("items").explode().unique())
    pool = np.zeros(size, dtype=bool)
    ids = met.collect(engine="streaming")["items"]
    pool[columns(ids, prepared.items["item_id"])] = True
    log.info("full: %d of %d items are candidates of somebody", np.count_nonzero(pool), size)
    return pool


def unlisted(samples: pl.DataFrame) -> pl.DataFrame:
    """The samples with a column FULL whose lists are empty, as prompts list nothing of it."""
    return samples.with_columns(pl.lit([], dtype=pl.List(pl.String)).alias(FULL))


def size_of(protocol: str) -> int:
    """The number of candidates that a protocol's name says; of the catalogue no bound is known."""
    return sys.maxsize if protocol == FULL else int(re.sub(r"\D", "", protocol)) + 1


def found_rate(ranks: Any) -> dict[str, float]:
    """The share of targets that a search has found."""
    return {"found": float((np.asarray(ranks) != ranking.MISSED).mean())}
