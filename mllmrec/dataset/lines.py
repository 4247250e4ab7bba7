"""Text files as columns of lines, and rows that cannot be read told by file, line and field."""

import codecs
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO

import polars as pl
from pydantic import AfterValidator

from mllmrec.errors import Refusal

log = logging.getLogger(__name__)
BLOCK = 1 << 23  # bytes of a file in memory at once; larger ones leave the caches, and are slower
SHOWN = 5  # bad rows told one by one, in the log and in the refusal


def known(encoding: str) -> str:
    """The encoding itself; ValueError where Python knows none of text by this name."""
    try:
        "".encode(encoding)  # that of no text, such as hex, is a LookupError here too
    except LookupError as error:
        raise ValueError(f"no encoding {encoding!r}; such as utf-8, latin-1, cp1252") from error
    return encoding


Encoding = Annotated[str, AfterValidator(known)]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What makes a row bad: a condition over its columns, and the field that is to blame."""

    bad: pl.Expr
    field: str
    why: str
    value: pl.Expr


@dataclass(kw_only=True)
class BadRows:
    """Counts the bad rows of one dataset over all its files against ``dataset.max_bad_rows``."""

    limit: int
    count: int = 0
    first: list[str] = field(default_factory=list)

    def sift(self, rows: pl.DataFrame, file: Path, rules: Sequence[Rule]) -> pl.DataFrame:
        """The rows that no rule calls bad; ``rows`` has a column ``line`` (from 1).

        The first rule that applies names the fault, and lines count once however many of
        their rows are bad. Raises Refusal when there are more bad lines than the limit.
        """
        if not rows.select(pl.any_horizontal(rule.bad for rule in rules).any()).item():
            return rows  # as nearly always, and telling costs more than looking
        told = pl.coalesce(pl.when(rule.bad).then(_told(rule)) for rule in rules)
        judged = rows.with_columns(told.alias("told"))
        bad = judged.filter(pl.col("told").is_not_null()).unique(
            "line", keep="first", maintain_order=True
        )
        self.count += bad.height
        listed = bad.head(SHOWN - len(self.first)).select(
            pl.format("{}, line {}: {}", pl.lit(str(file)), "line", "told")
        )
        self.first += listed.to_series().to_list()
        if self.count > self.limit:
            raise self.refusal()
        return rows.join(bad.select("line"), on="line", how="anti", maintain_order="left")

    def refusal(self) -> Refusal:
        more = f" · and {self.count - len(self.first)} more" * (self.count > len(self.first))
        return Refusal(
            "; ".join(self.first) + more,
            allowed=f"at most {self.limit} bad rows (dataset.max_bad_rows);"
            f" there are {self.count} up to there",
            do=f"mend the file, or drop and count them: dataset.max_bad_rows={self.count}",
        )

    def report(self) -> None:
        """Log how many bad rows were dropped, and the first of them."""
        if self.count:
            log.warning("dropped %d bad rows: %s", self.count, "; ".join(self.first))


def _told(rule: Rule) -> pl.Expr:
    return pl.format(
        "field {}, value '{}': {}",
        pl.lit(rule.field),
        rule.value.fill_null("").str.slice(0, 100),
        pl.lit(rule.why),
    )


def read_lines(file: Path, encoding: str) -> pl.DataFrame:
    """A file's lines: ``line`` (from 1) and ``raw``, without line ends and blank lines at its end.

    Raises Refusal, with line and byte, where the bytes are not text in this encoding.
    """
    return pl.concat(blocks(file, encoding))


def blocks(file: Path, encoding: str, size: int = BLOCK) -> Iterator[pl.DataFrame]:
    """The same in parts of about ``size`` bytes, so that a file of any length can be read."""
    before, held = 0, b""
    with file.open("rb") as handle:
        cut = pieces(handle, size) if "\n".encode(encoding) == b"\n" else [handle.read()]
        for piece in cut:
            if held:
                yield _lines(held, file, encoding, before)
                before += held.count(b"\n")
            held = piece
    yield _lines(held, file, encoding, before, last=True)


def pieces(handle: BinaryIO, size: int) -> Iterator[bytes]:
    """A file's bytes without the mark of UTF-8, cut at line ends; each piece has some."""
    rest = handle.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
    while read := handle.read(size):
        whole, end, rest = (rest + read).rpartition(b"\n")
        if end:
            yield whole + end
    if rest:
        yield rest


def _lines(
    data: bytes, file: Path, encoding: str, before: int, *, last: bool = False
) -> pl.DataFrame:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _undecoded(file, data, error, encoding, before) from error
    if last:
        text = text.rstrip("\r\n")
    if not text and not before:
        text = "\n"  # a file of nothing is one blank row, for its reader to refuse
    rows = pl.read_lines(text.encode(), name="raw")
    at = pl.int_range(before + 1, before + pl.len() + 1)
    return rows.select(at.alias("line"), pl.col("raw").str.strip_suffix("\r"))


def _undecoded(
    file: Path, data: bytes, error: UnicodeDecodeError, encoding: str, before: int
) -> Refusal:
    line = before + data.count(b"\n", 0, error.start) + 1
    column = error.start - (data.rfind(b"\n", 0, error.start) + 1)
    return Refusal(
        f"{file}, line {line}: byte {column + 1} of the line, value 0x{data[error.start]:02x},"
        f" is not {encoding}",
        allowed=f"text in {encoding} (dataset.encoding)",
        do="dataset.encoding=latin-1, or: "
        f"iconv -f latin1 -t utf-8 '{file}' > utf8 && mv utf8 '{file}'",
    )


def log_join(what: str, found: int, total: int) -> None:
    """Log the hit rate of a join."""
    log.info("join: %d of %d %s (%.2f %%)", found, total, what, 100 * found / max(total, 1))
