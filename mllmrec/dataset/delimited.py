"""Files of fields between separators (CSV, TSV), in blocks, each record known by its line.

Quotes are those of CSV: a field in double quotes may hold separators, line ends and doubled
quotes. Blocks are split as columns where each line is a record by itself, as nearly always; the
others go through Python's own reader.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import dropwhile
from pathlib import Path

import polars as pl

from mllmrec.dataset.lines import BLOCK, BadRows, Rule, blocks
from mllmrec.dataset.opening import text

UNCLOSED = "unexpected end of data"  # what csv calls a quote that is not closed
HEAD = 1 << 16  # bytes in which the first record ends
RAW, BLANK, SOME = pl.col("raw"), " \r", r"[^ \r]"  # all that stands in a blank line, and more
WIDE = 32  # fields; more go through Python's reader, as the pattern of a record would grow


def first_record(file: Path, encoding: str, separator: str) -> list[str]:
    """The fields of the first record; one that is empty where there is none."""
    read = next(iter(blocks(text(file), encoding, HEAD)))["raw"].to_list()
    lines = list(dropwhile(lambda line: not line.strip(BLANK), read)) or [""]
    if len(separator) > 1:
        return [name.strip() for name in lines[0].split(separator)]
    try:
        found = next(csv.reader((line + "\n" for line in lines), delimiter=separator), [])
    except csv.Error:
        found = lines[0].split(separator)
    return [name.strip() for name in found] or [""]


def records(
    file: Path,
    encoding: str,
    separator: str,
    names: Sequence[str],
    bad: BadRows,
    *,
    told: Sequence[str] | None = None,
    skip: int = 0,
    size: int = BLOCK,
) -> Iterator[pl.DataFrame]:
    """``line``, ``raw`` and the fields under ``names``, all text; blank lines are passed over.

    ``told`` are the fields as people call them, and ``skip`` is how many records are left out at
    the top. A record with another number of fields,
    or whose quotes do not close, is bad.
    """
    mark = separator if separator.isprintable() and separator != " " else repr(separator)
    shape = f"the {len(names)} fields {mark.join(told or names)}"
    why = {"open": f"its quotes do not close; {shape} were expected", "odd": f"not {shape}"}
    rules = [Rule(bad=pl.col(one), field="row", value=RAW, why=words) for one, words in why.items()]
    split = Splitting(separator=separator, names=names)
    parts = blocks(text(file), encoding, size)
    held = next(parts, None)
    while held is not None:
        after = next(parts, None)
        found = split.block(held, last=after is None)
        if skip:
            skip, found = max(0, skip - found.height), found.slice(skip)
        yield bad.sift(found, file, rules).drop(why)
        held = after


@dataclass(kw_only=True)
class Splitting:
    """Lines into records; ``carried`` are the first lines of one that has not ended yet."""

    separator: str
    names: Sequence[str]
    carried: list[str] = field(default_factory=list)
    carried_at: int = 0

    def block(self, lines: pl.DataFrame, *, last: bool) -> pl.DataFrame:
        """``line``, ``raw`` and the fields; ``odd`` ones are not as many as names, ``open`` ones
        have quotes that do not close."""
        raw = lines["raw"]
        if len(self.separator) > 1:
            return self.plain(lines)
        if self.carried or len(self.names) > WIDE:
            return self.quoted(lines, last=last)
        if not raw.str.contains('"', literal=True).any():
            return self.plain(lines)
        some = lines.filter(RAW.str.contains(SOME))
        is_regular = some["raw"].str.contains(self.record).all() and len(some)
        found = self.regular(some) if is_regular else None
        return self.quoted(lines, last=last) if found is None else found

    @cached_property
    def record(self) -> str:
        """The pattern of a line that is a record by itself, with as many fields as names."""
        mark = re.escape(self.separator)
        one = rf'(?:"(?:[^"]|"")*"|[^"\r\n{mark}]*)'
        return rf"^{one}(?:{mark}{one}){{{len(self.names) - 1}}}$"

    def regular(self, lines: pl.DataFrame) -> pl.DataFrame | None:
        """Lines that are all a record with the right number of fields; None in case of doubt."""
        try:
            parts = pl.read_csv(
                io.BytesIO("\n".join(lines["raw"]).encode()),
                has_header=False,
                separator=self.separator,
                schema=dict.fromkeys(self.names, pl.String),
            )
        except pl.exceptions.PolarsError:
            return None
        if parts.height != lines.height:
            return None
        whole = lines.hstack(parts.select(pl.all().fill_null("")))
        return whole.with_columns(odd=False, open=False)

    def plain(self, lines: pl.DataFrame) -> pl.DataFrame:
        parts = RAW.str.split_exact(self.separator, len(self.names)).struct.rename_fields(
            [*self.names, "more"]
        )
        some = RAW.str.contains(SOME)
        cut = (lines if lines.select(some.all()).item() else lines.filter(some)).with_columns(
            parts.alias("parts")
        )
        is_odd = pl.col(self.names[-1]).is_null() | pl.col("more").is_not_null()
        return cut.unnest("parts").with_columns(odd=is_odd, open=False).drop("more")

    def quoted(self, lines: pl.DataFrame, *, last: bool) -> pl.DataFrame:
        first = lines["line"].head(1).to_list()
        before = self.carried_at if self.carried else sum(first)
        texts = self.carried + lines["raw"].to_list()
        self.carried, width, rows = [], len(self.names), []
        start = 0
        while start < len(texts):
            reader = csv.reader(
                (texts[place] + "\n" for place in range(start, len(texts))),
                delimiter=self.separator,
                strict=True,
            )
            try:
                at = start
                for cells in reader:
                    padded = [*cells, *[None] * width][:width]
                    if texts[at].strip(BLANK):
                        rows.append((before + at, texts[at], *padded, len(cells) != width, False))
                    at = start + reader.line_num
                break
            except csv.Error as error:
                if str(error) == UNCLOSED and not last:
                    self.carried, self.carried_at = texts[at:], before + at
                    break
                rows.append((before + at, texts[at], *[None] * width, False, True))
                start = at + 1
        texts_of = dict.fromkeys(("raw", *self.names), pl.String)
        schema = {"line": pl.Int64, **texts_of, "odd": pl.Boolean, "open": pl.Boolean}
        return pl.DataFrame(rows, schema=schema, orient="row")
