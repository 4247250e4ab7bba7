"""Ratings in a text file, a line each: user, item, rating and unix seconds, with a mark between.

The file is read in blocks, so that one of tens of millions of lines is never whole in memory.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import AfterValidator

from mllmrec.dataset.base import shaped
from mllmrec.dataset.catalogue import untitled
from mllmrec.dataset.lines import BLOCK, BadRows, Rule, blocks, known, log_join
from mllmrec.errors import Refusal
from mllmrec.records import INTERACTIONS

FIELDS = ("user_id", "item_id", "rating", "timestamp")


def known_or_auto(encoding: str) -> str:
    return encoding if encoding == "auto" else known(encoding)


AutoEncoding = Annotated[str, AfterValidator(known_or_auto)]


def ratings(
    file: Path, encoding: str, bad: BadRows, *, mark: str, header: str | None = None
) -> Iterator[pl.DataFrame]:
    """``line``, ``user_id``, ``item_id``, ``rating`` and ``timestamp`` of readable rows.

    Raises:
        Refusal: more bad rows than allowed, or a first line that is not ``header``.
    """
    words = mark.replace("\t", " TAB ").join(("user", "item", "rating", "unix seconds"))
    for block in blocks(file, encoding, BLOCK):
        rows = block if header is None else below(block, file, header)
        cells = pl.col("raw").str.splitn(mark, len(FIELDS) + 1)
        split = rows.with_columns(cells.struct.rename_fields([*FIELDS, "rest"]).struct.unnest())
        yield (
            bad.sift(numbered(split), file, rules(words))
            .with_columns(rating="stars", timestamp="seconds")
            .select("line", *FIELDS)
        )


def below(block: pl.DataFrame, file: Path, header: str) -> pl.DataFrame:
    """A block without the first line of its file; refuses one that is not the header."""
    if block.is_empty() or block["line"][0] != 1:
        return block
    if (first := block["raw"][0].strip()) != header:
        raise Refusal(
            f"{file}, line 1: field header, value '{first:.100}': not the fields that belong here",
            allowed=f"{header}, as the first line",
            do="dataset.path=DIR with the files as they were published, or mend the first line",
        )
    return block.slice(1)


def numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """With ``stars`` and ``seconds``, the numbers of two fields; null where there is none."""
    return rows.with_columns(
        stars=pl.col("rating").cast(pl.Float64, strict=False),
        seconds=pl.col("timestamp").cast(pl.Int64, strict=False),
    )


def rules(words: str) -> list[Rule]:
    """What makes a row bad; ``words`` say how a good one looks."""
    return [
        Rule(
            bad=pl.col("timestamp").is_null() | pl.col("rest").is_not_null(),
            field="row",
            value=pl.col("raw"),
            why=f"not the {len(FIELDS)} fields {words}",
        ),
        empty("user_id"),
        empty("item_id"),
        no_rating(),
        unread("timestamp", pl.col("seconds"), "a number"),
    ]


def empty(field: str) -> Rule:
    """A field of a row holds nothing."""
    return Rule(bad=pl.col(field) == "", field=field, value=pl.col(field), why="empty")


def no_rating() -> Rule:
    """The stars are no number, or none that can be compared."""
    stars = pl.col("stars")
    bad = stars.is_null() | ~stars.is_finite()
    return Rule(bad=bad, field="rating", value=pl.col("rating"), why="not a number")


def unread(field: str, parsed: pl.Expr, what: str) -> Rule:
    """A field could not be parsed as what it should be."""
    return Rule(bad=parsed.is_null(), field=field, value=pl.col(field), why=f"not {what}")


def liked(
    parts: Mapping[Path, Iterable[pl.DataFrame]],
    items: pl.DataFrame,
    bad: BadRows,
    dropped: MutableMapping[str, int],
    *,
    titles: Path,
    min_rating: float | None,
) -> Iterator[pl.DataFrame]:
    """INTERACTIONS: the rows whose item has a title and whose rating is high enough.

    ``parts`` are the files and their rows. ``dropped`` counts the rows left out and is complete
    when the last frame was read.
    """
    rule = untitled(items, titles)
    dropped.update(bad_rows=bad.count, below_min_rating=0)
    for file, frames in parts.items():
        read = found = 0
        for rows in frames:
            known = bad.sift(rows, file, [rule])
            high = known if min_rating is None else known.filter(pl.col("rating") >= min_rating)
            read, found = read + rows.height, found + known.height
            dropped["bad_rows"] = bad.count
            dropped["below_min_rating"] += known.height - high.height
            yield shaped(high, INTERACTIONS)
        log_join(f"items of {file.name} found their title", found, read)
    dropped["bad_rows"] = bad.count
    bad.report()
