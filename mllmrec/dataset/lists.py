"""Lines ``user TAB items``, item ids with spaces between, oldest first."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from mllmrec.dataset.lines import BLOCK, BadRows, Rule, blocks

RAW, CELLS = pl.col("raw"), pl.col("raw").str.split("\t")
RULES = (
    Rule(
        bad=CELLS.list.len() != 2,
        field="row",
        value=RAW,
        why="not the 2 fields user TAB items with spaces between",
    ),
    Rule(bad=pl.col("user_id") == "", field="user", value=RAW, why="empty"),
    Rule(bad=pl.col("item_id").list.len() == 0, field="items", value=RAW, why="empty"),
)


def lists(file: Path, encoding: str, bad: BadRows, size: int = BLOCK) -> Iterator[pl.DataFrame]:
    """``line``, ``user_id`` and ``item_id``, one row an item of a readable line."""
    items = CELLS.list.get(1, null_on_oob=True).str.split(" ")
    for block in blocks(file, encoding, size):
        rows = block.with_columns(
            CELLS.list.get(0).alias("user_id"),
            items.list.filter(pl.element() != "").alias("item_id"),
        )
        yield bad.sift(rows, file, RULES).drop("raw").explode("item_id")
