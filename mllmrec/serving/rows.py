"""Files of histories to recommend for, row by row: CSV, TSV, JSON lines, Parquet."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mllmrec.errors import Refusal

COLUMNS = ("id", "history", "user", "candidates")
LISTS = ("history", "candidates")
MARKS = {".csv": ",", ".tsv": "\t"}
KINDS = (*MARKS, ".jsonl", ".parquet")
DO = "type recommend.file=FILE with such a file"


class BadRow(Exception):
    """What is wrong with one row."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one row asks: texts by COLUMNS, None where a cell is blank; or why it cannot be read."""

    where: str
    cells: Mapping[str, Any]
    fault: str | None = None


def rows_of(file: Path, separator: str) -> Iterator[Row]:
    """The rows of a file, in its order; in CSV ``separator`` stands between the items of a cell.

    Raises:
        Refusal: it is of no kind that is known, is no text, or has other columns.
    """
    kind = file.suffix.lower()
    if kind not in KINDS:
        raise Refusal(
            f"recommend.file={file}: no kind of file that is read here",
            allowed=", ".join(KINDS),
            do=DO,
        )
    read = {".jsonl": json_rows, ".parquet": parquet_rows}.get(kind, text_rows)
    try:
        for number, cells in read(file):
            yield row(f"{file.name}, {number}", cells, separator if kind in MARKS else None)
    except (UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as error:
        raise Refusal(
            f"recommend.file={file}: cannot be read ({' '.join(str(error).split())[:200]})",
            allowed=f"{kind[1:]} in UTF-8",
            do=DO,
        ) from error


def text_rows(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open(encoding="utf-8-sig", newline="") as handle:
        table = csv.DictReader(handle, delimiter=MARKS[file.suffix.lower()], strict=True)
        check_columns(file, table.fieldnames or [])
        for cells in table:
            if None in cells or None in cells.values():
                yield f"line {table.line_num}", "another number of cells than the header has"
            else:
                yield f"line {table.line_num}", cells


def json_rows(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                cells = json.loads(line)
            except (ValueError, RecursionError):
                cells = None
            if isinstance(cells, dict) and not cells.keys() - {*COLUMNS}:
                yield f"line {number}", cells
            elif isinstance(cells, dict):
                strange = sorted(cells.keys() - {*COLUMNS})
                yield f"line {number}", f"unknown fields {strange}, known: {', '.join(COLUMNS)}"
            else:
                yield f"line {number}", "not a JSON object on one line"


def parquet_rows(file: Path) -> Iterator[tuple[str, Any]]:
    table = pl.scan_parquet(file)
    check_columns(file, table.collect_schema().names())
    for number, cells in enumerate(table.collect().iter_rows(named=True), start=1):
        yield f"row {number}", cells


def check_columns(file: Path, names: Any) -> None:
    """Refuse columns that nobody reads, and a table that asks for nothing."""
    strange = sorted({*map(str, names)} - {*COLUMNS})
    if strange or not {"history", "user"} & {*names}:
        raise Refusal(
            f"recommend.file={file}: "
            + (f"unknown columns {strange}" if strange else "no column history, and none user"),
            allowed=f"columns {', '.join(COLUMNS)}; history or user is needed",
            do="rename the columns in the file's first line, or take the others out",
        )


def row(where: str, cells: Any, separator: str | None) -> Row:
    """A row from its raw cells, or from what is wrong with it."""
    if isinstance(cells, str):
        return Row(where=where, cells={}, fault=cells)
    try:
        return Row(where=where, cells={name: cell(cells, name, separator) for name in COLUMNS})
    except BadRow as bad:
        return Row(where=where, cells={}, fault=str(bad))


def cell(cells: Mapping[str, Any], name: str, separator: str | None) -> Any:
    """A text, or a list of texts; None where there is nothing."""
    value = cells.get(name)
    if value is None or value == "":
        return None
    if name not in LISTS:
        return text(name, value)
    if separator is not None:
        value = [part.strip() for part in value.split(separator)]
    if not isinstance(value, list):
        raise BadRow(f"{name} is no list: {str(value)[:80]!r}")
    return [text(name, one) for one in value]


def text(name: str, value: Any) -> str:
    """A name or a number as it is written; BadRow for what is neither, and for a blank."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise BadRow(f"{name} holds {str(value)[:80]!r}, neither a text nor a whole number")
    return str(value)
