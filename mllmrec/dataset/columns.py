"""A table in a file (CSV, TSV, Parquet, JSON lines), some of its columns as text, in blocks."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from mllmrec.dataset import lines
from mllmrec.dataset.delimited import HEAD, first_record, records
from mllmrec.dataset.jsonl import FAULTS, objects
from mllmrec.dataset.lines import BadRows, pieces
from mllmrec.dataset.opening import damaged, kind, text
from mllmrec.errors import Refusal

SEPARATORS = {"csv": ",", "tsv": "\t"}
MARKS = {"tab": "\t", "semicolon": ";", "pipe": "|", "comma": ",", "space": " "}  # easily typed
JSONL = ("jsonl", "ndjson", "json")
KINDS = (*SEPARATORS, *JSONL, "parquet")
ROWS = 1 << 20  # rows of a Parquet file in memory at once


@dataclass(frozen=True, kw_only=True)
class File:
    """One file; ``separator`` is None where its kind tells it, ``header`` is of CSV and TSV."""

    path: Path
    separator: str | None
    header: bool
    encoding: str

    @property
    def kind(self) -> str:
        """``csv``, ``jsonl`` or ``parquet``; refuses what is none of them by its name."""
        told = kind(self.path)
        if told in JSONL or told == "parquet":
            return "parquet" if told == "parquet" else "jsonl"
        if told not in SEPARATORS and self.separator is None:
            raise Refusal(
                f"{self.path}: the ending .{told} says nothing of what separates its fields",
                allowed=f"{', '.join(KINDS)}, all but parquet also in .gz; or dataset.separator",
                do=f"dataset.separator=:: (or {', '.join(MARKS)}: what stands between fields)",
            )
        return "csv"

    @property
    def mark(self) -> str:
        return self.separator or SEPARATORS[kind(self.path)]

    @cached_property
    def names(self) -> list[str]:
        """The columns that are there: by their header, or 1, 2, 3 … without one."""
        if self.kind == "parquet":
            return list(self.schema)
        if self.kind == "jsonl":
            return self.keys()
        first = first_record(self.path, self.encoding, self.mark)
        if not self.header:
            return [str(number) for number in range(1, len(first) + 1)]
        if len(set(first)) < len(first) or "" in first:
            raise Refusal(
                f"{self.path}: field header, value '{','.join(first)[:200]}': a name is empty or"
                " stands twice",
                allowed="a name for each column, or no header at all",
                do="mend the first line, or dataset.header=false, which calls columns 1, 2, 3 …",
            )
        return first

    def keys(self) -> list[str]:
        """The fields of the first objects; lines that are none are told where rows are read."""
        with text(self.path).open("rb") as handle:
            piece = next(pieces(handle, HEAD), b"")
        found: dict[str, None] = {}
        for line in piece.split(b"\n"):
            try:
                told = json.loads(line)
            except (ValueError, RecursionError):
                continue
            found |= dict.fromkeys(told) if isinstance(told, dict) else {}
        return list(found)

    @cached_property
    def schema(self) -> pl.Schema:
        try:
            return pl.scan_parquet(self.path, glob=False).collect_schema()
        except FAULTS as error:
            raise damaged(str(self.path), error) from error

    def require(self, wanted: Mapping[str, str]) -> None:
        """Refuse where a column is not there; ``wanted`` is them by the knob that names them."""
        for knob, name in wanted.items():
            if name not in self.names:
                free = [other for other in self.names if other not in wanted.values()]
                near = difflib.get_close_matches(name, free, 1, 0)
                raise Refusal(
                    f"{self.path}: no column '{name}' ({knob})",
                    allowed=f"one of its columns: {', '.join(self.names) or 'there are none'}",
                    do=self.other_separator() or f"type {typed(knob, near[0] if near else 'NAME')}",
                )

    def other_separator(self) -> str | None:
        """What to type where the only column looks like several that something else separates."""
        if self.kind != "csv" or len(self.names) != 1:
            return None
        known = {"::": "::"} | MARKS
        found = [word for word, mark in known.items() if mark in self.names[0]]
        return f"type dataset.separator={found[0]}" if found else None

    def frames(self, wanted: Mapping[str, str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """``line`` and a column of text for each of ``wanted``, by name here and in the file.

        Nulls are empty. Of Parquet, ``line`` is the number of the row.
        """
        for frame in self.read(wanted, bad):
            yield frame.select("line", pl.col(*wanted).fill_null(""))

    def read(self, wanted: Mapping[str, str], bad: BadRows) -> Iterator[pl.DataFrame]:
        if self.kind == "jsonl":
            return objects(self.path, wanted, bad, lines.BLOCK)
        return self.slices(wanted) if self.kind == "parquet" else self.fields(wanted, bad)

    def fields(self, wanted: Mapping[str, str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """Records of CSV and the like."""
        place = {name: f"field {number}" for number, name in enumerate(self.names)}
        chosen = [pl.col(place[name]).alias(ours) for ours, name in wanted.items()]
        for rows in records(
            self.path,
            self.encoding,
            self.mark,
            list(place.values()),
            bad,
            told=self.names,
            skip=int(self.header),
            size=lines.BLOCK,
        ):
            yield rows.select("line", *chosen)

    def slices(self, wanted: Mapping[str, str]) -> Iterator[pl.DataFrame]:
        """Rows of a Parquet file, their values as text."""
        whole = pl.scan_parquet(self.path, glob=False)
        texts = [
            as_text(name, self.schema[name], self.path).alias(ours) for ours, name in wanted.items()
        ]
        try:
            height = whole.select(pl.len()).collect().item()
            for start in range(0, height, ROWS):
                part = whole.slice(start, ROWS).select(texts).collect()
                at = pl.int_range(start + 1, start + part.height + 1, dtype=pl.Int64)
                yield part.with_columns(line=at).select("line", *wanted)
        except FAULTS as error:
            raise damaged(str(self.path), error) from error


def typed(knob: str, value: str) -> str:
    """An override as it is typed in a shell, which Hydra reads after it."""
    return f"{knob}={value}" if re.fullmatch(r"[\w.:/-]+", value) else f"\"{knob}='{value}'\""


def as_text(name: str, dtype: pl.DataType, file: Path) -> pl.Expr:
    """A column of Parquet as it would be written in a CSV, and lists as in JSON."""
    column = pl.col(name)
    if dtype.is_float():  # what pandas makes of whole numbers when one is missing
        is_whole = (column == column.round()) & (column.abs() < 2**53)
        return (
            pl.when(is_whole)
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(column.cast(pl.String))
        )
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.String)
    if isinstance(dtype, pl.List) and dtype.inner == pl.String:
        return pl.format("[{}]", column.list.eval(quoted(pl.element())).list.join(","))
    if dtype.is_nested() or dtype == pl.Binary or dtype == pl.Object:
        raise Refusal(
            f"{file}: column '{name}' is {dtype}",
            allowed="text, numbers, times, or lists of text",
            do="write the column as text, or name another one",
        )
    return column.cast(pl.String)


def quoted(element: pl.Expr) -> pl.Expr:
    """Text as JSON writes it."""
    plain = element.str.replace_all("\\", "\\\\", literal=True)
    return pl.format('"{}"', plain.str.replace_all('"', '\\"', literal=True))
