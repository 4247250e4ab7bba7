"""The tables of a prepared folder, written part by part: samples with candidates, sequences."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from mllmrec.dataset.audit import Audit, Fingerprint
from mllmrec.dataset.candidates import FULL, Pool, numbers
from mllmrec.dataset.coded import Lists, chunks, starts
from mllmrec.dataset.split import Plan, Targets
from mllmrec.dataset.written import Written
from mllmrec.progress import Bar
from mllmrec.records import Split

ROWS = 1 << 14  # samples in memory at once, and of a row group
ENTRIES = 1 << 20  # the same of items of users' lists


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The samples of one split.

    ``columns`` name a protocol for each column of candidates; ``adopted`` has lists of ids, one
    a sample, for those that are not drawn. The lists of FULL are empty.
    """

    split: Split
    targets: Targets
    columns: Mapping[str, str]
    adopted: Mapping[str, pl.Series] = field(default_factory=dict)

    @property
    def drawn(self) -> list[str]:
        """The protocols that are drawn here."""
        return [
            protocol
            for name, protocol in self.columns.items()
            if protocol != FULL and name not in self.adopted
        ]

    def write(self, folder: Path, pool: Pool, audit: Audit, *, seed: int) -> dict[str, str]:
        """``SPLIT.parquet``, its samples audited; a fingerprint a column."""
        prints = {name: Fingerprint() for name in self.columns}
        ids = self.met(pool)
        bar = Bar(f"{self.split} samples", len(self.targets), "sample")
        with Written(folder / f"{self.split}.parquet") as file, bar:
            for place, some in self.targets.parts(ROWS):
                frame = pool.plan.described(some, pool.history_length)
                listed = {
                    name: self.candidates(name, place, some, frame, pool, ids, seed)
                    for name in self.columns
                }
                chosen = {n: lists for n, lists in listed.items() if self.columns[n] != FULL}
                audit.add(self.split, some, pool.plan.history(some, pool.history_length), chosen)
                told = {name: lists.strings(ids) for name, lists in listed.items()}
                for name, candidates in told.items():
                    prints[name].add(frame["sample_id"], candidates)
                file.add(frame.with_columns(**told))
                bar.step(len(frame))
        return {f"{self.split}/{name}": made.digits for name, made in prints.items()}

    def candidates(
        self,
        name: str,
        place: slice,
        some: Targets,
        frame: pl.DataFrame,
        pool: Pool,
        ids: pl.Series,
        seed: int,
    ) -> Lists:
        """Places among ``ids`` of one column's candidates of a part of the samples."""
        if self.columns[name] == FULL:
            return Lists(start=np.zeros(len(some) + 1, np.int64), flat=np.zeros(0, np.int64))
        if name not in self.adopted:
            sample_ids = frame["sample_id"].to_list()
            return Lists.of(pool.candidates(some, sample_ids, self.columns[name], seed=seed))
        theirs = self.adopted[name][place]
        order = ids.arg_sort()
        flat = order.gather(numbers(theirs.explode(), ids.gather(order)))
        return Lists(start=starts(theirs.list.len().to_numpy()), flat=flat.to_numpy())

    def taken(self, table: pl.DataFrame) -> "Sampled":
        """The samples that stand in a table by their ``row``, with the adopted columns there."""
        is_kept = np.isin(self.targets.row, table["row"].to_numpy())
        adopted = {name: table[name] for name in self.columns if name in table.columns}
        return replace(self, targets=self.targets[is_kept], adopted=adopted)

    def met(self, pool: Pool) -> pl.Series:
        """The ids of the pool, then those of adopted candidates that nobody ever chose."""
        if not self.adopted:
            return pool.item_ids
        theirs = pl.concat([column.explode() for column in self.adopted.values()]).unique()
        strange = theirs.filter(~theirs.is_in(pool.item_ids.implode())).sort()
        return pl.concat([pool.item_ids, strange])


def write_sequences(folder: Path, plan: Plan) -> None:
    """``sequences.parquet`` (SEQUENCES, and TIMES where they are known)."""
    with Written(folder / "sequences.parquet") as file:
        for users, places in plan.training(ENTRIES):
            items = Lists(start=places.start, flat=plan.items.flat[places.flat])
            columns = [
                plan.user_ids.gather(users).alias("user_id"),
                items.strings(plan.item_ids).alias("items"),
            ]
            if plan.time is not None:
                times = Lists(start=places.start, flat=plan.time[places.flat])
                columns.append(times.numbers().alias("times"))
            file.add(pl.DataFrame(columns))


def write_owned(folder: Path, plan: Plan) -> None:
    """``owned.parquet`` (OWNED), every user in it."""
    with Written(folder / "owned.parquet") as file:
        for begin, end in chunks(plan.owned.start, ENTRIES):
            items = plan.owned.part(begin, end).strings(plan.item_ids).alias("items")
            users = plan.user_ids[begin:end].alias("user_id")
            file.add(pl.DataFrame([users, items]))


def write_popularity(folder: Path, plan: Plan) -> None:
    """``popularity.parquet``: item_id, weight, the training interactions of each item."""
    weight = pl.Series("weight", plan.popularity)
    pl.DataFrame([plan.item_ids.alias("item_id"), weight]).write_parquet(
        folder / "popularity.parquet"
    )
