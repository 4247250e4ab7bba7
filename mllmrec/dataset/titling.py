"""Items whose title is missing, as in most data of shops and of videos: refused, or dropped."""

import logging
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import Literal

import polars as pl

from mllmrec.dataset.base import shaped
from mllmrec.dataset.catalogue import one_title_each, untitled
from mllmrec.dataset.lines import BadRows, log_join
from mllmrec.records import INTERACTIONS

log = logging.getLogger(__name__)
ROWS = 1 << 20  # rows that are looked up at once, as a look-up in millions of items has its price

Untitled = Literal["drop", "refuse"]
TITLE = pl.col("title").str.replace_all(r"\s+", " ").str.strip_chars().fill_null("")


def items_once(
    rows: pl.DataFrame, file: Path, bad: BadRows, dropped: MutableMapping[str, int], how: Untitled
) -> pl.DataFrame:
    """Each ``item_id`` once, its ``title`` on one line; ``rows`` has ``line`` too.

    An item without a title is bad, or under ``drop`` is left out and counted as
    ``untitled_items``.
    """
    told = rows.with_columns(title=TITLE)
    if how == "refuse":
        return one_title_each(told, file, bad)
    kept = told.filter(pl.col("title") != "")
    dropped["untitled_items"] = told.height - kept.height
    if kept.height < told.height:
        log.warning("%s: %d items have no title", file, told.height - kept.height)
    return one_title_each(kept, file, bad)


def of_known_items(
    frames: Iterable[pl.DataFrame],
    items: pl.DataFrame,
    bad: BadRows,
    dropped: MutableMapping[str, int],
    *,
    file: Path,
    titles: Path,
    how: Untitled,
) -> Iterator[pl.DataFrame]:
    """INTERACTIONS with the items, which are those of ``titles``.

    Others are bad, or under ``drop`` are left out and counted as ``untitled``. ``dropped`` is
    complete when the last frame was read.
    """
    rule, read, found = untitled(items, titles), 0, 0
    dropped["bad_rows"] = bad.count
    if how == "drop":
        dropped["untitled"] = 0
    for rows in gathered(frames):
        if how == "refuse":
            known = bad.sift(rows, file, [rule])
        else:
            known = rows.filter(~rule.bad)
            dropped["untitled"] += rows.height - known.height
        read, found = read + rows.height, found + known.height
        dropped["bad_rows"] = bad.count
        yield shaped(known, INTERACTIONS)
    dropped["bad_rows"] = bad.count
    log_join(f"interactions of {file.name} found the title of their item", found, read)
    bad.report()


def gathered(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames that are worth a look-up."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(map(len, held)) >= ROWS:
            yield pl.concat(held)
            held = []
    if held:
        yield pl.concat(held)
