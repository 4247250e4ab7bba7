"""Where each sample's target stands: leave-one-out, by time, or the split that data came with.

A *plan* has one list of items a row: a user's, oldest first, or a line of data that came with
their own split, where a user may have several.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
import polars as pl

from mllmrec.dataset.coded import CHUNK, Array, Lists, chunks, spans, starts
from mllmrec.dataset.filters import Sequences
from mllmrec.errors import Refusal
from mllmrec.records import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
NONE = -1  # the place of a target that is not there


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Samples: the row of the plan that each is of, and the place of its target there."""

    row: Array
    at: Array

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, some: slice | Array) -> "Targets":
        return Targets(row=self.row[some], at=self.at[some])

    def parts(self, size: int) -> Iterator[tuple[slice, "Targets"]]:
        for begin in range(0, len(self), size):
            some = slice(begin, begin + size)
            yield some, self[some]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Rows of items, and the places of targets in them.

    ``user`` (rows,) are places in ``user_ids``; ``items`` the lists of a row, places in
    ``item_ids`` (sorted); ``time`` those of the items, or None where the data know none;
    ``offset`` (rows,) counts the items in the user's earlier rows; ``trained`` (rows,) says how
    many of the first items are training interactions; ``places`` (rows,) where the last target
    of each kind stands, or NONE.
    """

    user_ids: pl.Series
    item_ids: pl.Series
    user: Array
    items: Lists
    time: Array | None
    offset: Array
    trained: Array
    places: Mapping[Split, Array]

    @classmethod
    def of(cls, met: Sequences, trained: Array, places: Mapping[Split, Array]) -> Self:
        """One row a user."""
        rows = len(met.user_ids)
        return cls(
            user_ids=met.user_ids,
            item_ids=met.item_ids,
            user=np.arange(rows),
            items=Lists(start=met.start, flat=met.item),
            time=met.time,
            offset=np.zeros(rows, np.int64),
            trained=trained,
            places=places,
        )

    def targets(
        self, split: Split, *, windows: Literal["last", "sliding"], min_history: int
    ) -> Targets:
        """The samples of one split.

        A target needs ``min_history`` items before it. ``sliding`` makes every such training
        interaction a target, ``last`` only the last one; other splits have one target a row.
        """
        place = self.places[split]
        row = np.flatnonzero(place >= min_history).astype(np.uint32)
        if split == "train" and windows == "sliding":
            count = place[row] - min_history + 1
            at = spans(np.full(len(row), min_history), count)
            return Targets(row=np.repeat(row, count), at=at.astype(np.uint32))
        return Targets(row=row, at=place[row].astype(np.uint32))

    def history(self, some: Targets, length: int | None = None) -> Lists:
        """The items before each target, at most the last ``length``."""
        before = some.at.astype(np.int64)
        count = before if length is None else np.minimum(before, length)
        first = self.items.start[some.row] + before - count
        return Lists(start=starts(count), flat=self.items.flat[spans(first, count)])

    def target(self, some: Targets) -> Array:
        """The item of each target."""
        return self.items.flat[self.items.start[some.row] + some.at]

    def described(self, some: Targets, history_length: int) -> pl.DataFrame:
        """The samples as records (SAMPLES)."""
        users = self.user_ids.gather(self.user[some.row]).alias("user_id")
        at = pl.Series("at", self.offset[some.row] + some.at)
        return pl.DataFrame([users, at]).select(
            pl.format("{}:{}", "user_id", "at").alias("sample_id"),
            "user_id",
            self.history(some, history_length).strings(self.item_ids).alias("history"),
            self.item_ids.gather(self.target(some)).alias("target"),
        )

    def earlier(self, some: Targets) -> pl.Series:
        """All items before each target, as ids."""
        return self.history(some).strings(self.item_ids).alias("earlier")

    @cached_property
    def rows(self) -> Lists:
        """The rows of each user."""
        order = np.argsort(self.user, kind="stable")
        return Lists(start=starts(np.bincount(self.user, minlength=len(self.user_ids))), flat=order)

    @cached_property
    def owned(self) -> Lists:
        """The items of each user in any row, none twice in a list."""
        if len(self.user) == len(self.user_ids):  # one row a user, none twice in it
            return self.items
        pairs = np.unique(self.user[self.items.owner] * len(self.item_ids) + self.items.flat)
        owner, item = np.divmod(pairs, len(self.item_ids))
        return Lists(start=starts(np.bincount(owner, minlength=len(self.user_ids))), flat=item)

    def trained_by(self, users: Array) -> Lists:
        """The places in ``items.flat`` of the training interactions of each of these users."""
        rows = self.rows.take(users)
        count = self.trained[rows.flat]
        length = np.add.reduceat(count, rows.start[:-1]) if len(users) else count
        return Lists(start=starts(length), flat=spans(self.items.start[rows.flat], count))

    def training(self, size: int = CHUNK) -> Iterator[tuple[Array, Lists]]:
        """Users who have some, by the first row where they do, and `trained_by` them, in parts."""
        seen, first = np.unique(self.user[np.flatnonzero(self.trained)], return_index=True)
        users = seen[np.argsort(first)]
        length = np.bincount(self.user, weights=self.trained, minlength=len(self.user_ids))
        for begin, end in chunks(starts(length[users]), size):
            yield users[begin:end], self.trained_by(users[begin:end])

    @cached_property
    def popularity(self) -> Array:
        """How many training interactions each item has: (items,)."""
        total = np.zeros(len(self.item_ids), np.int64)
        for _, places in self.training():
            total += np.bincount(self.items.flat[places.flat], minlength=len(total))
        return total


def leave_one_out(met: Sequences) -> Plan:
    """The plan where a user's last item is for test, the one before for validation."""
    length = met.length
    places: dict[Split, Array] = {
        "train": length - 3,
        "validation": length - 2,
        "test": length - 1,
    }
    trained = np.maximum(length - 2, 0)
    return Plan.of(met, trained, {split: np.maximum(at, NONE) for split, at in places.items()})


def temporal(met: Sequences, *, validation: float, test: float) -> Plan:
    """The plan where all users' interactions are cut at the same two times.

    The times are quantiles of those of the interactions (after the filters): the last share
    ``test`` of these lies at or after the second, the share ``validation`` between the two,
    save for ties at a cut, which all fall after it. Training interactions are those before the
    first time; a user's first interaction from there on to the second is the target of
    validation, the first one at or after the second that of test. So every item of a history,
    and every training interaction, is older than any target of validation or test.

    Raises:
        Refusal: both times are the same, so that nothing lies between them.
    """
    shares = (1 - validation - test, 1 - test)
    ranks = [min(round(met.size * share), met.size - 1) for share in shares]
    cuts = np.partition(met.time, ranks)[ranks]
    if cuts[0] == cuts[1]:
        raise tied(met.time, int(cuts[0]), validation=validation, test=test)
    before = [np.add.reduceat(met.time < cut, met.start[:-1], dtype=np.int64) for cut in cuts]
    places: dict[Split, Array] = {
        "train": before[0] - 1,
        "validation": np.where(before[0] < before[1], before[0], NONE),
        "test": np.where(before[1] < met.length, before[1], NONE),
    }
    return Plan.of(met, before[0], places)


def tied(time: Array, cut: int, *, validation: float, test: float) -> Refusal:
    """What is wrong with shares whose two cuts fall at one time, and which ones do not."""
    ways, before = [], time[time < cut]
    later = math.floor(1e4 * np.count_nonzero(time > cut) / len(time))
    if later:
        ways.append(f"prepare.temporal.test below {later / 1e4}")
    if len(before) and before.min() < before.max():  # else nothing would be left for training
        least = math.ceil(1e4 * (1 - (len(before) - 0.5) / len(time))) / 1e4
        ways.append(f"prepare.temporal.validation + prepare.temporal.test above {least}")
    return Refusal(
        f"prepare.split=temporal: with prepare.temporal.validation={validation} and"
        f" prepare.temporal.test={test} both cuts fall at the time {cut}, which"
        f" {np.count_nonzero(time == cut)} of {len(time)} interactions have, so no target of"
        " validation lies between them",
        allowed=", or ".join(ways) or "interactions at more than one time",
        do="type prepare.temporal.validation=SHARE prepare.temporal.test=SHARE with such shares,"
        " or prepare.split=leave_one_out",
    )


def as_published(rows: pl.DataFrame) -> Plan:
    """The plan of data that comes with its own split (ROWS): a row's last item is its target."""
    met = rows.explode("items")
    user_ids, item_ids = rows["user_id"].unique(maintain_order=True), met["items"].unique().sort()
    number = pl.Series(np.arange(len(user_ids)))
    user = rows["user_id"].replace_strict(user_ids, number, return_dtype=pl.Int64).to_numpy()
    length = rows["items"].list.len().cast(pl.Int64).to_numpy()
    earlier = pl.DataFrame({"user": user, "length": length}).select(
        pl.col("length").cum_sum().over("user") - pl.col("length")
    )
    part = rows["part"].to_numpy()
    return Plan(
        user_ids=user_ids,
        item_ids=item_ids,
        user=user,
        items=Lists(start=starts(length), flat=item_ids.search_sorted(met["items"]).to_numpy()),
        time=None,
        offset=earlier.to_series().to_numpy(),
        trained=length * (part == "train") + (length - 1) * (part == "validation"),
        places={split: np.where(part == split, length - 1, NONE) for split in SPLITS},
    )
