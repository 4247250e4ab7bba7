"""The records that stages hand to one another, as Parquet tables with fixed columns."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl

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
SAMPLES = pl.Schema(  # and one column of candidates (list of item ids, shuffled) a protocol
    {
        "sample_id": pl.String(),
        "user_id": pl.String(),
        "history": pl.List(pl.String),
        "target": pl.String(),
    }
)

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Prepared:
    """The folder that the stage ``prepare`` publishes, read lazily and only once.

    ``items.parquet`` (ITEMS), ``sequences.parquet`` (SEQUENCES: each user's *training*
    interactions, oldest first), ``train|validation|test.parquet`` (SAMPLES plus a column a
    protocol; ``train`` has the one column ``train``), and where the dataset knows its own
    process ``oracle.parquet`` (sample_id, protocol, scores in the order of the candidates).
    """

    folder: Path

    @cached_property
    def items(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "items.parquet")

    @cached_property
    def titles(self) -> dict[str, str]:
        return dict(zip(self.items["item_id"], self.items["title"], strict=True))

    @cached_property
    def sequences(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "sequences.parquet")

    def samples(self, split: Split) -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"{split}.parquet")

    @property
    def oracle(self) -> Path:
        """There only where the dataset knows its own process."""
        return self.folder / "oracle.parquet"
