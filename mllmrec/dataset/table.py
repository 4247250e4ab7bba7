"""Any table: who met what, and when; and another of the items, or the same one.

Files are CSV, TSV, Parquet or JSON lines; which of their columns is what is said by knobs. Pictures
go by a column with their file names, relative to the folder of the items' file, or lie in
``images/``, each called by its item's id.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from mllmrec.dataset.base import Dataset, Tables, folder_of, present, sha256, shaped
from mllmrec.dataset.clock import parsed, time_rules
from mllmrec.dataset.columns import MARKS, File, typed
from mllmrec.dataset.images import OUTSIDE, Illustrated, named_in, pictures, placed, told_missing
from mllmrec.dataset.jsonl import listed
from mllmrec.dataset.lines import BadRows, Encoding, Rule
from mllmrec.dataset.titling import Untitled, items_once, of_known_items
from mllmrec.errors import Refusal
from mllmrec.records import ITEMS
from mllmrec.schema import Model, NoEffect

NAME = "table"
LAYOUT = "tables of your own, .csv, .tsv, .jsonl (each also in .gz) or .parquet"


def name_of(told: Any) -> Any:
    """A column by its number is typed as one."""
    return str(told) if type(told) is int else told


def mark_of(told: Any) -> Any:
    """What is hard to type by its name."""
    return MARKS.get(told, told) if isinstance(told, str) else told


Name = Annotated[str, BeforeValidator(name_of), Field(min_length=1)]
Mark = Annotated[str, BeforeValidator(mark_of), Field(min_length=1)]


class Columns(Model):
    """Columns of the interactions."""

    user: Name
    item: Name
    time: Name | None
    rating: Name | None


class ItemColumns(Model):
    """Columns of the items."""

    item: Name
    title: Name
    genres: Name | None
    year: Name | None
    picture: Name | None


class Table(Illustrated, Dataset):
    """The file ``interactions``, and perhaps ``items``, in the folder ``path``."""

    path: Annotated[str | None, NoEffect()]
    interactions: Annotated[str | None, NoEffect()]
    items: Annotated[str | None, NoEffect()]
    columns: Columns
    item_columns: ItemColumns
    separator: Mark | None
    header: bool
    encoding: Encoding
    time_unit: Literal["s", "ms", "iso", "order"]
    min_rating: float | None
    genre_separator: Mark
    untitled: Untitled

    @model_validator(mode="after")
    def _knobs_agree(self) -> Self:
        if (self.columns.time is None) != (self.time_unit == "order"):
            raise ValueError(
                "must hold: dataset.time_unit=order exactly where dataset.columns.time=null"
            )
        if self.min_rating is not None and self.columns.rating is None:
            raise ValueError("dataset.min_rating wants dataset.columns.rating=NAME")
        return self

    def files(self) -> tuple[File, File]:
        """The interactions and the items; refuses missing files, and columns that are not there."""
        met = self.file(self.interactions)
        items = met if self.items is None else self.file(self.items)
        met.require(knobs("columns", self.columns))
        items.require(knobs("item_columns", self.item_columns))
        return met, items

    def file(self, name: str | None) -> File:
        folder = folder_of(self.path, name=NAME)
        if name is None:
            there = sorted(file for file in folder.iterdir() if file.is_file())
            names = ", ".join(file.name for file in there[:20])
            largest = max(there, key=lambda file: file.stat().st_size, default=Path("FILE"))
            raise Refusal(
                "dataset.interactions is not set, the file of who met what",
                allowed=f"a file of {folder}: {names or 'there is none'}",
                do=typed("dataset.interactions", largest.name),
            )
        return File(
            path=present(folder / name, layout=LAYOUT, name=NAME),
            separator=self.separator,
            header=self.header,
            encoding=self.encoding,
        )

    def pictures(self) -> dict[str, Path]:
        """The pictures that are there, by item id."""
        items = self.files()[1]
        if (column := self.item_columns.picture) is None:
            return pictures(items.path.parent / "images")
        wanted = {"item_id": self.item_columns.item, "picture": column}
        rows = items.frames(wanted, BadRows(limit=sys.maxsize))
        return named_in(items.path.parent, pl.concat(rows))

    @property
    def has_times(self) -> bool:
        """Not where rows are in order of time and say no more."""
        return self.time_unit != "order"

    def content(self) -> dict[str, Any]:
        """The hash of each file's bytes, pictures by item id."""
        met, items = self.files()
        hashes = {"interactions": sha256(met.path), "items": sha256(items.path)}
        return hashes | {"pictures": self.picture_hashes()}

    def load(self, out: Path) -> Tables:
        """Read the tables and copy the pictures; refuses bad rows beyond ``max_bad_rows``."""
        met, items = self.files()
        bad, dropped = BadRows(limit=self.max_bad_rows), dict[str, int]()
        told = items_once(self.catalogue(items, bad), items.path, bad, dropped, self.untitled)
        read = self.timed(met, bad, dropped)
        known = of_known_items(
            read, told, bad, dropped, file=met.path, titles=items.path, how=self.untitled
        )
        if self.item_columns.picture is not None:
            told_missing(told, self.pictures())
        named = placed(told.drop("picture", strict=False), self.pictures(), out)
        return Tables(items=shaped(named, ITEMS), interactions=known, dropped=dropped)

    def timed(self, file: File, bad: BadRows, dropped: dict[str, int]) -> Iterator[pl.DataFrame]:
        """INTERACTIONS and ``line`` of readable rows with ``min_rating``."""
        names = {"user_id": self.columns.user, "item_id": self.columns.item}
        more = {"time": self.columns.time, "rating": self.columns.rating}
        wanted = names | {ours: name for ours, name in more.items() if name is not None}
        rules = [empty("user_id", self.columns.user), empty("item_id", self.columns.item)]
        rules += time_rules(self.time_unit, self.columns.time)
        stars = pl.col("rating").cast(pl.Float64, strict=False)
        if "rating" in wanted:
            rules.append(
                Rule(
                    bad=stars.is_null() | ~stars.is_finite(),
                    field=wanted["rating"],
                    value=pl.col("rating"),
                    why=NOT,
                )
            )
        read = 0
        for rows in file.frames(wanted, bad):
            time = (
                parsed(rows["time"], self.time_unit)
                if "time" in wanted
                else pl.int_range(read, read + rows.height, eager=True)
            )
            good = bad.sift(rows.with_columns(time.alias("timestamp")), file.path, rules)
            kept = good if self.min_rating is None else good.filter(stars >= self.min_rating)
            if self.min_rating is not None:
                below = dropped.get("below_min_rating", 0)
                dropped["below_min_rating"] = below + good.height - kept.height
            read += rows.height
            yield kept.select("line", "user_id", "item_id", "timestamp")

    def catalogue(self, file: File, bad: BadRows) -> pl.DataFrame:
        """``line`` and the columns of ITEMS that are there, of all readable rows."""
        told = self.item_columns
        names = {"item_id": told.item, "title": told.title}
        more = {"genres": told.genres, "year": told.year, "picture": told.picture}
        wanted = names | {ours: name for ours, name in more.items() if name is not None}
        year = pl.col("year").str.strip_chars().str.strip_suffix(".0").replace("", None)
        rules = [empty("item_id", told.item)]
        if "year" in wanted:
            is_bad = year.is_not_null() & year.cast(pl.Int32, strict=False).is_null()
            rules.append(Rule(bad=is_bad, field=wanted["year"], value=pl.col("year"), why=NOT))
        if "picture" in wanted:
            why = "a picture's name leads out of the folder of the file"
            value = pl.col("picture")
            rules.append(Rule(bad=OUTSIDE, field=wanted["picture"], value=value, why=why))
        frames = [
            bad.sift(rows, file.path, rules).unique(
                [name for name in rows.columns if name != "line"], keep="first", maintain_order=True
            )
            for rows in file.frames(wanted, bad)
        ]
        found = pl.concat(frames)
        if "year" in wanted:
            found = found.with_columns(year.cast(pl.Int32, strict=False).alias("year"))
        if "genres" in wanted:
            split = pl.Series("genres", [self.genres(one) for one in found["genres"]], GENRES)
            found = found.with_columns(split)
        return found

    def genres(self, told: str) -> list[str]:
        """Genres as a list: a list in JSON, or text with a mark between them."""
        parts = listed(told) if told.startswith("[") else told.split(self.genre_separator)
        return [part.strip() for part in parts if part.strip()]


NOT = "not a number"
GENRES = pl.List(pl.String)


def knobs(group: str, columns: Columns | ItemColumns) -> dict[str, str]:
    """The names of columns by the knob that gives them."""
    told = columns.model_dump().items()
    return {f"dataset.{group}.{knob}": name for knob, name in told if name is not None}


def empty(ours: str, name: str) -> Rule:
    """A field of a row holds nothing."""
    return Rule(bad=pl.col(ours).str.strip_chars() == "", field=name, value=pl.lit(""), why="empty")
