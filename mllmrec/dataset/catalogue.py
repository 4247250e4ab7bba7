"""Items by their ids: one title each, and whether all that people met has one."""

import logging
from pathlib import Path

import polars as pl

from mllmrec.dataset.lines import BadRows, Rule, log_join
from mllmrec.errors import Refusal

log = logging.getLogger(__name__)


def one_title_each(rows: pl.DataFrame, file: Path, bad: BadRows) -> pl.DataFrame:
    """Each ``item_id`` once; a row without a title, or with a second, other one, is bad."""
    empty = Rule(
        bad=pl.col("title").str.strip_chars() == "",
        field="title of item",
        value=pl.col("item_id"),
        why="the title is empty",
    )
    other = Rule(
        bad=pl.col("title") != pl.col("title").first().over("item_id"),
        field="item",
        value=pl.format("{}' with title '{}", "item_id", "title"),
        why="a line before gives it another title",
    )
    good = bad.sift(bad.sift(rows, file, [empty]), file, [other])
    once = good.unique("item_id", keep="first", maintain_order=True)
    if once.height < good.height:
        log.info("%s: %d rows repeat an item and its title", file, good.height - once.height)
    if once.is_empty():
        raise Refusal(
            f"{file}: no item with a title is left",
            allowed="at least one readable row",
            do="mend the file, or another dataset.path=DIR",
        )
    return once


def titled(
    rows: pl.DataFrame, items: pl.DataFrame, bad: BadRows, *, file: Path, titles: Path
) -> pl.DataFrame:
    """The rows whose ``item_id`` has a title; the lines of the others are bad."""
    rule = untitled(items, titles)
    found = rows.height - int(rows.select(rule.bad.sum()).item())
    log_join(f"items of {file.name} found their title", found, rows.height)
    return bad.sift(rows, file, [rule])


def untitled(items: pl.DataFrame, titles: Path) -> Rule:
    """What makes a row bad whose ``item_id`` is none of the items, read from ``titles``."""
    return Rule(
        bad=~pl.col("item_id").is_in(items["item_id"].implode()),
        field="item",
        value=pl.col("item_id"),
        why=f"the item has no title in {titles}",
    )
