"""Interactions as lists: a JSON object with, for each user, the ids of items in their order."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mllmrec.errors import Refusal

SHAPE = "JSON in utf-8: an object {user id: [item id, item id, …]}"
LISTED = pl.Schema({"line": pl.Int64(), "user_id": pl.String(), "item_id": pl.String()})


class Pairs(list[tuple[str, Any]]):
    """A JSON object as its keys and values, so that a key that stands twice is seen."""


def lists(file: Path) -> pl.DataFrame:
    """LISTED, a row an item; ``line`` is the place of the user in the object, from 1.

    Raises:
        Refusal: it is no such object, a user stands there twice, or an id is not one.
    """
    found = parsed(file)
    if not isinstance(found, Pairs):
        raise refusal(file, f"the whole, value {found!r:.100}: not an object")
    met: set[str] = set()
    rows: list[tuple[int, str, str]] = []
    for number, (user, items) in enumerate(found, start=1):
        if not user.strip() or user in met:
            why = "stands there twice" if user in met else "empty"
            raise refusal(file, f"user {number}, value '{user:.100}': {why}")
        if isinstance(items, Pairs) or not isinstance(items, list):
            raise refusal(file, f"user '{user:.100}', value {items!r:.100}: not a list")
        met.add(user)
        rows += [(number, user, id_of(item, place, user, file)) for place, item in enumerate(items)]
    try:
        return pl.DataFrame(rows, schema=LISTED, orient="row")
    except UnicodeEncodeError as error:
        raise refusal(file, f"an id, value {error.object!r:.100}: not text") from error


def id_of(item: Any, place: int, user: str, file: Path) -> str:
    """An id as text; numbers are ids too."""
    text = str(item) if type(item) is int else item
    if not isinstance(text, str) or not text.strip():
        where = f"user '{user:.100}', item {place + 1} of the list"
        raise refusal(file, f"{where}, value {item!r:.100}: not an id")
    return text


def parsed(file: Path) -> Any:
    """The content of a JSON file; refuses what is none, by line and column."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=Pairs)
    except (ValueError, RecursionError) as error:
        raise refusal(file, f"cannot be read as JSON ({error})") from error


def refusal(file: Path, wrong: str) -> Refusal:
    return Refusal(
        f"{file}: {wrong}",
        allowed=SHAPE,
        do="mend the file, or dataset.path=DIR with the files as they were published",
    )


def joined(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """``user_id``, ``item_id`` and ``timestamp``: each user's lists, one after the other.

    The timestamp is the place in the joined list, from 0; users are in the order of the parts.
    """
    rows = pl.concat(parts)
    at = pl.int_range(pl.len()).over("user_id").cast(pl.Int64)
    return rows.select("user_id", "item_id", at.alias("timestamp"))
