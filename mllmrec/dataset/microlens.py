"""MicroLens (westlake-repl): what people watched of short videos, with titles and covers.

Three releases, whose files begin with their name: MicroLens-50k, -100k, -1M. ``NAME_pairs.csv``
has lines ``user,item,timestamp`` below that header, milliseconds; ``NAME_pairs.tsv`` has the same
without times, a line a user, in order of time. The CSV is read where both are there.

Titles lie in ``NAME_titles.csv``, ``NAME_title_en.csv`` or ``NAME_title.csv``. With a header,
``item,title``, it is CSV, quoted line ends and all (50k). Without one (100k, 1M) a title is what
follows the first comma of its line, as there are quotes in it that nobody closes.
"""

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from mllmrec.dataset import lines
from mllmrec.dataset.base import Dataset, Tables, folder_of, present, sha256
from mllmrec.dataset.clock import per_second, whole_times
from mllmrec.dataset.delimited import HEAD, first_record, records
from mllmrec.dataset.images import Illustrated, illustrated
from mllmrec.dataset.lines import BadRows, Encoding, Rule, blocks
from mllmrec.dataset.lists import lists
from mllmrec.dataset.titling import Untitled, items_once, of_known_items
from mllmrec.errors import Refusal
from mllmrec.schema import NoEffect

log = logging.getLogger(__name__)
NAME = "microlens"
HOME = "recsys.westlake.edu.cn/MicroLens-50k-Dataset (or -100k-, -1M-)"
LAYOUT = f"NAME_pairs.csv or NAME_pairs.tsv and NAME_titles.csv, from {HOME}"
TITLES = ("titles", "title_en", "title")
FIELDS = ("user_id", "item_id", "timestamp")
HEADER = re.compile(r"user[^,]*,(?:item|video)[^,]*,time[^,]*", re.IGNORECASE)
WRITTEN = pl.col("text").str.strip_chars().cast(pl.Int64, strict=False)
EMPTY = [
    Rule(bad=pl.col(name).str.strip_chars() == "", field=field, value=pl.col("raw"), why="empty")
    for name, field in (("user_id", "user"), ("item_id", "item"))
]
SHORT = Rule(bad=pl.col("title").is_null(), field="row", value=pl.col("raw"), why="not item,title")


class MicroLens(Illustrated, Dataset):
    """The files in the folder ``path``; ids are strings throughout."""

    path: Annotated[str | None, NoEffect()]
    name: Annotated[str | None, NoEffect()]
    encoding: Encoding
    untitled: Untitled

    def files(self) -> tuple[Path, Path]:
        """The interactions and the titles; refuses missing and empty ones."""
        folder = folder_of(self.path, name=NAME)
        name = self.release(folder)
        pairs = [folder / f"{name}_pairs.{kind}" for kind in ("csv", "tsv")]
        titles = [folder / f"{name}_{word}.csv" for word in TITLES]
        found = [next(filter(Path.is_file, files), files[0]) for files in (pairs, titles)]
        first, second = (present(file, layout=LAYOUT, name=NAME) for file in found)
        return first, second

    def release(self, folder: Path) -> str:
        """What the names of the files begin with; refuses several, and none."""
        found = sorted({file.stem.removesuffix("_pairs") for file in folder.glob("*_pairs.[ct]sv")})
        if self.name in found or (len(found) == 1 and self.name is None):
            return self.name or found[0]
        if not found:
            raise Refusal(
                f"{folder}: no file NAME_pairs.csv or NAME_pairs.tsv",
                allowed=f"dataset={NAME} reads {LAYOUT}",
                do="dataset.path=DIR with a DIR that holds them",
            )
        asked = f"none of {self.name}, but" if self.name else "several releases,"
        raise Refusal(
            f"{folder}: {asked} {', '.join(found)}",
            allowed="one, or dataset.name to say which",
            do=f"dataset.name={found[0]}",
        )

    def images(self) -> Path:
        """The folder of the pictures, which need not be there."""
        folder = folder_of(self.path, name=NAME)
        names = (f"{self.release(folder)}_covers", "covers", "images")
        return next(
            (folder / name for name in names if (folder / name).is_dir()), folder / "covers"
        )

    @property
    def has_times(self) -> bool:
        """Not where only the TSV is there."""
        try:
            return self.files()[0].suffix == ".csv"
        except Refusal:
            return True

    def content(self) -> dict[str, Any]:
        """The hash of each file's bytes, pictures by item id."""
        pairs, titles = self.files()
        hashes = {pairs.suffix: sha256(pairs), "titles": sha256(titles)}
        return hashes | {"pictures": self.picture_hashes()}

    def load(self, out: Path) -> Tables:
        """Read the files and copy the pictures; refuses bad rows beyond ``max_bad_rows``."""
        pairs, titles = self.files()
        log.info("reads %s and %s", pairs.name, titles.name)
        bad, dropped = BadRows(limit=self.max_bad_rows), dict[str, int]()
        items = items_once(self.titles(titles, bad), titles, bad, dropped, self.untitled)
        read = self.timed(pairs, bad) if pairs.suffix == ".csv" else self.ordered(pairs, bad)
        known = of_known_items(
            read, items, bad, dropped, file=pairs, titles=titles, how=self.untitled
        )
        return Tables(
            items=illustrated(items, self.images(), out), interactions=known, dropped=dropped
        )

    def timed(self, file: Path, bad: BadRows) -> Iterator[pl.DataFrame]:
        """INTERACTIONS of the CSV, and ``line``; times are in the unit of its first row."""
        head = first_record(file, self.encoding, ",")
        is_header = not head[-1].lstrip("-").isdigit()
        if is_header and not HEADER.fullmatch(",".join(head)):
            raise Refusal(
                f"{file}, line 1: field header, value '{','.join(head)[:100]}': no header of it",
                allowed="user,item,timestamp as the first line, as published",
                do=f"fetch it again, from {HOME}, or read it with: python launch.py dataset=table",
            )

        def read(bad: BadRows, size: int) -> Iterator[pl.DataFrame]:
            skip = int(is_header)
            for rows in records(file, self.encoding, ",", FIELDS, bad, skip=skip, size=size):
                yield rows.rename({"timestamp": "text"}).with_columns(timestamp=WRITTEN)

        first = next(read(BadRows(limit=sys.maxsize), HEAD))["timestamp"].drop_nulls()
        unit = per_second(first[0]) if len(first) else 1
        rules = [*EMPTY, *whole_times(pl.col("text"), unit)]
        return (bad.sift(rows, file, rules) for rows in read(bad, lines.BLOCK))

    def ordered(self, file: Path, bad: BadRows) -> Iterator[pl.DataFrame]:
        """INTERACTIONS of the TSV, and ``line``; a time is a place in its line, from 0."""
        place = pl.int_range(pl.len()).over("line")
        for rows in lists(file, self.encoding, bad, lines.BLOCK):
            yield rows.with_columns(timestamp=place)

    def titles(self, file: Path, bad: BadRows) -> pl.DataFrame:
        """``line``, ``item_id`` and ``title`` of all readable rows."""
        names = ("item_id", "title")
        if [name.lower() for name in first_record(file, self.encoding, ",")] == ["item", "title"]:
            quoted = records(file, self.encoding, ",", names, bad, skip=1, size=lines.BLOCK)
            read = [bad.sift(rows, file, EMPTY[1:]) for rows in quoted]
        else:
            split = pl.col("raw").str.splitn(",", 2).struct.rename_fields(names).struct.unnest()
            some = pl.col("raw").str.strip_chars() != ""
            parts = (block.filter(some) for block in blocks(file, self.encoding, lines.BLOCK))
            read = [bad.sift(rows.with_columns(split), file, [SHORT, EMPTY[1]]) for rows in parts]
        return pl.concat(read).with_columns(pl.col("item_id").str.strip_chars())
