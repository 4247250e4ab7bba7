"""The records that stages hand to one another, as Parquet tables with fixed columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from mllmrec.seeds import seed_for

ITEMS = pl.Schema(
    {
        "item_id": pl.String(),
        "title": pl.String(),
        "picture": pl.String(),  # relative to the folder of the table; null where there is none
        "genres": pl.List(pl.String),
        "year": pl.Int32(),
    }
)
INTERACTIONS = pl.Schema({"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Int64()})
SEQUENCES = pl.Schema({"user_id": pl.String(), "items": pl.List(pl.String)})
OWNED = SEQUENCES  # all items of a user in any split, none twice
TIMES = pl.Schema({"times": pl.List(pl.Int64)})  # further, where the data have times
POPULARITY = pl.Schema({"item_id": pl.String(), "weight": pl.Int64()})  # training interactions
SAMPLES = pl.Schema(  # and one column of candidates (list of item ids, shuffled) a protocol
    {
        "sample_id": pl.String(),
        "user_id": pl.String(),
        "history": pl.List(pl.String),
        "target": pl.String(),
    }
)
CAPTIONS = pl.Schema(
    {
        "item_id": pl.String(),
        "text": pl.String(),
        "writer": pl.String(),  # the kind of the captioner
        "picture_sha256": pl.String(),
    }
)
RATIONALES = pl.Schema({"sample_id": pl.String(), "text": pl.String(), "writer": pl.String()})
FAILURES = pl.Schema({"id": pl.String(), "why": pl.String()})  # of an item or a sample

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Prepared:
    """The folder that the stage ``prepare`` publishes, read lazily and only once.

    ``items.parquet`` (ITEMS), ``sequences.parquet`` (SEQUENCES, and TIMES where they are known:
    each user's *training* interactions, oldest first), ``owned.parquet`` (OWNED: all items of
    each user in any split), ``train|validation|test.parquet`` (SAMPLES plus a column a protocol;
    ``train`` has the one column ``train``), ``popularity.parquet`` (POPULARITY), and where the
    dataset knows its own process ``oracle.parquet`` (sample_id, protocol, scores in the order of
    the candidates).
    ``captioned`` is the folder that the stage ``caption`` publishes, with ``captions.parquet``
    (CAPTIONS), or None where captions are not to be seen.
    """

    folder: Path
    captioned: Path | None = None

    @classmethod
    def of(cls, inputs: Mapping[str, Path]) -> "Prepared":
        """What a stage stands on, by the names of its inputs: prepare, and perhaps captions."""
        return cls(inputs["prepare"], inputs.get("captions"))

    @cached_property
    def items(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "items.parquet")

    @cached_property
    def titles(self) -> dict[str, str]:
        return dict(zip(self.items["item_id"], self.items["title"], strict=True))

    @cached_property
    def captions(self) -> dict[str, str]:
        """Captions by item id, of the items that have one."""
        if self.captioned is None:
            return {}
        table = pl.read_parquet(self.captioned / "captions.parquet")
        return dict(zip(table["item_id"], table["text"], strict=True))

    @cached_property
    def sequences(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "sequences.parquet")

    def scan(self, table: str) -> pl.LazyFrame:
        """A table by the name of its file, for those who need a part: columns, or a count."""
        return pl.scan_parquet(self.folder / f"{table}.parquet")

    def has(self, table: str) -> bool:
        """Whether there is such a file, as ``scan`` reads it."""
        return (self.folder / f"{table}.parquet").is_file()

    def samples(self, split: Split) -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"{split}.parquet")

    def chosen(self, split: Split, most: int | None, seed: int, purpose: str) -> pl.DataFrame:
        """At most so many samples of a split, in the table's order, by a hash of their ids.

        For one purpose the choice of fewer is a part of the choice of more.
        """
        samples = self.samples(split)
        if most is None or most >= len(samples):
            return samples
        keys = [seed_for(seed, purpose, id) for id in samples["sample_id"]]
        return samples[sorted(sorted(range(len(keys)), key=keys.__getitem__)[:most])]

    @property
    def oracle(self) -> Path:
        """There only where the dataset knows its own process."""
        return self.folder / "oracle.parquet"


def columns(ids: pl.Series, catalogue: pl.Series) -> np.ndarray:
    """The place of each id in the catalogue: int64; polars' error for one that it lacks."""
    return ids.cast(pl.Enum(catalogue)).to_physical().cast(pl.Int64).to_numpy()
