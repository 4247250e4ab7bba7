"""Files of one JSON object a line, in blocks, their fields as columns of text."""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from mllmrec.dataset.lines import BLOCK, BadRows, Rule, pieces
from mllmrec.dataset.opening import text

FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
NOT_AN_OBJECT = Rule(
    bad=pl.lit(True), field="row", value=pl.col("raw"), why="not a JSON object on one line"
)


def objects(
    file: Path, fields: Mapping[str, str], bad: BadRows, size: int = BLOCK
) -> Iterator[pl.DataFrame]:
    """``line`` and the fields of each object; blank lines are passed over.

    ``fields`` are what they are called there by what they are called here. Every field is text:
    numbers as they are written, lists and objects as JSON, null where the object has none. A line
    that is no object is bad.
    """
    before = 0
    with text(file).open("rb") as handle:
        for piece in pieces(handle, size):
            count = piece.count(b"\n") + (not piece.endswith(b"\n"))
            found = _parsed(piece, fields)
            if found is not None and found.height == count:
                at = pl.int_range(before + 1, before + count + 1, dtype=pl.Int64)
                yield found.with_columns(line=at).select("line", *fields)
            else:
                yield _line_by_line(piece, before, fields, file, bad)
            before += count


def _parsed(piece: bytes, fields: Mapping[str, str]) -> pl.DataFrame | None:
    schema = dict.fromkeys(fields.values(), pl.String)
    try:
        found = pl.read_ndjson(io.BytesIO(piece), schema=schema)
    except FAULTS:
        return None
    return found.select(pl.col(name).alias(ours) for ours, name in fields.items())


def _line_by_line(
    piece: bytes, before: int, fields: Mapping[str, str], file: Path, bad: BadRows
) -> pl.DataFrame:
    """The same of a piece with blank lines, or with some that cannot be read."""
    lines = [
        (number, line)
        for number, line in enumerate(piece.split(b"\n"), start=before + 1)
        if line.strip()
    ]
    good, unread = _sorted_out(lines, fields)
    told = pl.DataFrame(
        [(number, line.decode(errors="replace")) for number, line in unread],
        schema={"line": pl.Int64, "raw": pl.String},
        orient="row",
    )
    if unread:
        bad.sift(told, file, [NOT_AN_OBJECT])
    empty = pl.DataFrame(schema={"line": pl.Int64, **dict.fromkeys(fields, pl.String)})
    return pl.concat([empty, *good])


def _sorted_out(
    lines: list[tuple[int, bytes]], fields: Mapping[str, str]
) -> tuple[list[pl.DataFrame], list[tuple[int, bytes]]]:
    """Frames of the lines that can be read, and the others, found by halves."""
    if not lines:
        return [], []
    found = _parsed(b"\n".join(line for _, line in lines), fields)
    if found is not None and found.height == len(lines):
        at = pl.Series("line", [number for number, _ in lines], pl.Int64)
        return [found.with_columns(at).select("line", *fields)], []
    if len(lines) == 1:
        return [], lines
    half = len(lines) // 2
    good, unread = _sorted_out(lines[:half], fields)
    more, others = _sorted_out(lines[half:], fields)
    return good + more, unread + others


def listed(text: str) -> list[str]:
    """The texts of a list as `objects` hands it over, which escapes quotes and little else."""
    try:
        found = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        found = text.removeprefix('["').removesuffix('"]').replace('\\"', '"').split('", "')
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
