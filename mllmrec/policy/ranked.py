"""Rankings as they are kept, read again: what was asked, and where each target came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from mllmrec.errors import Refusal
from mllmrec.policy.listing import rates


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The samples that were ranked, the rank of each one's target, the number of candidates.

    ``asked`` has a row a sample: its id, how many candidates it has, these by name (sorted) and
    the target. The last two are not there, and ``rates`` are those of ``policy.listing``, where
    the rankings are lists that a model wrote: they may name fewer, or others. Of the whole
    catalogue the names are not there. ``position`` (from 0) is where the target stood among the
    candidates as they were shown, None where there is no list; ``firsts`` are the items that were
    ranked first, null where there is none.
    """

    asked: pl.DataFrame
    ranks: Any
    candidates: int
    firsts: pl.Series
    position: Any = None
    rates: dict[str, float] | None = None

    @property
    def samples(self) -> list[str]:
        return self.asked["sample_id"].to_list()

    def of(self, samples: list[str]) -> Self:
        """The same of some of its samples, in their order."""
        places = {id: row for row, id in enumerate(self.samples)}
        rows = [places[id] for id in samples]
        return replace(
            self,
            asked=self.asked[rows],
            ranks=self.ranks[rows],
            firsts=self.firsts[rows],
            position=None if self.position is None else self.position[rows],
        )


def first_of(by: Mapping[str, Ranked]) -> Ranked:
    """One of them, where all are of the same samples."""
    return next(iter(by.values()))


def read_ranks(folder: Path, protocols: Sequence[str]) -> dict[str, Ranked]:
    """One policy's rankings, by protocol."""
    return {protocol: read(folder / f"{protocol}.parquet") for protocol in protocols}


def read(file: Path) -> Ranked:
    """The rankings of one protocol: of candidates, of the whole catalogue, or written lists."""
    table = pl.read_parquet(file)
    is_list, is_cut = "lines" in table.columns, "target" in table.columns
    ranked, place = pl.col("ranked"), pl.col("rank").cast(pl.Int64) - 1
    size = pl.col("candidates") if is_list or is_cut else ranked.list.len()
    asked = {"sample_id": pl.col("sample_id"), "number of candidates": size.cast(pl.Int64)}
    if is_cut:
        asked["target"] = pl.col("target")
    elif not is_list:
        asked |= {"candidates": ranked.list.sort(), "target": ranked.list.get(place)}
    found = table.select(**asked)
    return Ranked(
        asked=found,
        ranks=table["rank"].to_numpy(),
        candidates=int(np.max(found["number of candidates"].to_numpy())),
        firsts=table["ranked"].list.get(0, null_on_oob=True),
        position=table["position"].to_numpy() if "position" in table.columns else None,
        rates=rates(table) if is_list else None,
    )


def check_same_samples(ranks: Mapping[str, Mapping[str, Ranked]], protocol: str) -> None:
    """Refuse to compare policies that did not rank the same samples in one order.

    A sample is the same if its candidates and its target are, as far as the rankings tell them.
    """
    known: dict[str, tuple[str, pl.Series]] = {}  # of what is asked: by whom first, and what
    for name, by in ranks.items():
        for column in by[protocol].asked:
            first, told = known.setdefault(column.name, (name, column))
            if not column.equals(told):
                other = "" if column.name == "sample_id" else f" (another {column.name})"
                raise Refusal(
                    f"{protocol}: {name} and {first} were not ranked on the same samples{other}",
                    allowed="rankings of one set of test samples, with the same candidates",
                    do="type force=[rank] to rank again, or compare launches of the same dataset=, "
                    "prepare.* and seed=",
                )
