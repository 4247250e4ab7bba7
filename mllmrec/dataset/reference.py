"""The layout of the published scripts: train.tsv, test.tsv, NAME_titles.csv, perhaps images/.

Each line of a .tsv is ``user TAB items``, item ids with spaces between, oldest first; the last
one is the target of that line. Our splits follow theirs: each line of test.tsv with
``min_interactions`` items is a test sample; the lines of train.tsv give training samples, save
those of a share of the users, fixed by a hash of their ids, whose lines are for validation.
History lies within the line; as published, it is at most its last ``min_interactions`` - 1
items with ``prepare.history_length`` one less than ``min_interactions``. An item twice in a
line stays at its last place. Negatives leave out a user's items in all lines of both files.

NAME_titles.csv has lines ``id,title``: what follows the first comma is the title, in quotes
or not. Its first line is a header where its title is the word title and no line of the .tsv
files mentions its id, so that no item that matters can be mistaken for one.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from mllmrec.dataset.base import Dataset, Tables, folder_of, present, sha256, shaped
from mllmrec.dataset.catalogue import one_title_each, titled
from mllmrec.dataset.images import illustrated, pictures
from mllmrec.dataset.lines import BadRows, Encoding, Rule, read_lines
from mllmrec.dataset.negatives import keys, uniforms
from mllmrec.errors import Refusal
from mllmrec.records import INTERACTIONS
from mllmrec.schema import NoEffect

NAME = "reference"
LAYOUT = "train.tsv and test.tsv with lines 'user TAB item item …', NAME_titles.csv with id,title"


class Reference(Dataset):
    """The files in the folder ``path``; ids are strings throughout."""

    k_core: Literal[None]  # the files come filtered
    path: Annotated[str | None, NoEffect()]
    name: Annotated[str | None, NoEffect()]
    encoding: Encoding
    validation_share: Annotated[float, Field(gt=0, lt=1)]

    def files(self) -> dict[str, Path]:
        """The three text files by role; refuses a missing or an empty one."""
        folder = folder_of(self.path, name=NAME)
        files = {"train": folder / "train.tsv", "test": folder / "test.tsv"}
        files["titles"] = self.titles_file(folder)
        return {role: present(file, layout=LAYOUT, name=NAME) for role, file in files.items()}

    def titles_file(self, folder: Path) -> Path:
        found = sorted(folder.glob(f"{self.name or '*'}_titles.csv"))
        if len(found) > 1:
            names = [file.name.removesuffix("_titles.csv") for file in found]
            raise Refusal(
                f"{folder}: {len(found)} files of titles, of {', '.join(names)}",
                allowed="one, or dataset.name to say which",
                do=f"dataset.name={names[0]}",
            )
        return found[0] if found else folder / f"{self.name or 'NAME'}_titles.csv"

    def pictures(self) -> dict[str, Path]:
        """The pictures in ``images/`` by item id; none where there is no such folder."""
        return pictures(folder_of(self.path, name=NAME) / "images")

    @property
    def has_pictures(self) -> bool:
        """None, too, while ``dataset.path`` names no folder, which `content` refuses."""
        is_there = self.path is not None and Path(self.path).is_dir()
        return is_there and bool(self.pictures())

    def content(self) -> dict[str, Any]:
        """The hash of each file's bytes, pictures by item id."""
        pictures = self.pictures()
        hashes = {role: sha256(file) for role, file in self.files().items()}
        return hashes | {"pictures": {item: sha256(pictures[item]) for item in sorted(pictures)}}

    def load(self, out: Path) -> Tables:
        """Read the files and copy the pictures into ``out/pictures``; refuses bad rows."""
        files = self.files()
        bad = BadRows(limit=self.max_bad_rows)
        met = {part: self.rows(files[part], bad) for part in ("train", "test")}
        mentioned = pl.concat(met.values())["item_id"]
        items = one_title_each(self.titles(files["titles"], mentioned, bad), files["titles"], bad)
        known = {
            part: titled(rows, items, bad, file=files[part], titles=files["titles"])
            for part, rows in met.items()
        }
        bad.report()
        once = {
            part: rows.unique(["line", "item_id"], keep="last", maintain_order=True)
            for part, rows in known.items()
        }
        repeats = sum(known[part].height - once[part].height for part in known)
        return Tables(
            items=illustrated(items, folder_of(self.path, name=NAME) / "images", out),
            interactions=[
                shaped(once["train"].with_columns(timestamp=pl.int_range(pl.len())), INTERACTIONS)
            ],
            rows=self.parted(once),
            dropped={"bad_rows": bad.count, "repeats": repeats},
        )

    def rows(self, file: Path, bad: BadRows) -> pl.DataFrame:
        """``line``, ``user_id`` and ``item_id``, one row an item of a readable line."""
        raw = pl.col("raw")
        cells = raw.str.split("\t")
        rows = read_lines(file, self.encoding).with_columns(
            cells.list.get(0).alias("user_id"),
            cells.list.get(1, null_on_oob=True)
            .str.split(" ")
            .list.eval(pl.element().filter(pl.element() != ""))
            .alias("item_id"),
        )
        why = "not the 2 fields user TAB items with spaces between"
        rules = [
            Rule(bad=cells.list.len() != 2, field="row", value=raw, why=why),
            Rule(bad=pl.col("user_id") == "", field="user", value=raw, why="empty"),
            Rule(bad=pl.col("item_id").list.len() == 0, field="items", value=raw, why="empty"),
        ]
        return bad.sift(rows, file, rules).drop("raw").explode("item_id")

    def titles(self, file: Path, mentioned: pl.Series, bad: BadRows) -> pl.DataFrame:
        """``line``, ``item_id`` and ``title`` of readable lines, without the header."""
        raw = pl.col("raw")
        rows = read_lines(file, self.encoding).with_columns(
            raw.str.extract_groups(r"(?s)^\"?(?<item_id>[^,\"]+)\"?,(?<title>.*)$").struct.unnest()
        )
        inner = pl.col("title").str.extract(r'(?s)^"((?:[^"]|"")*)"$').str.replace_all('""', '"')
        opened = pl.col("title").str.starts_with('"') & (
            pl.col("title").str.count_matches('"', literal=True) % 2 == 1
        )
        rules = [
            Rule(bad=pl.col("item_id").is_null(), field="row", value=raw, why="not id,title"),
            Rule(bad=opened, field="title", value=raw, why="a quote is opened and not closed"),
        ]
        header = (
            (pl.col("line") == 1)
            & (pl.col("title").str.to_lowercase() == "title")
            & ~pl.col("item_id").is_in(mentioned.implode())
        )
        return (
            bad.sift(rows, file, rules)
            .with_columns(title=inner.fill_null(pl.col("title")))
            .filter(~header)
        )

    def parted(self, met: dict[str, pl.DataFrame]) -> pl.DataFrame:
        """The lines of both files in their order, each with its part (ROWS)."""
        lines = {
            part: rows.group_by("line", "user_id", maintain_order=True)
            .agg(pl.col("item_id").alias("items"))
            .select("user_id", "items")
            for part, rows in met.items()
        }
        users = lines["train"]["user_id"]
        chance = uniforms(keys(0, "validation", users.to_list()), np.zeros(1))
        held = chance <= max(self.validation_share, chance.min(initial=1.0))  # one at least
        return pl.concat(
            [
                lines["train"].with_columns(
                    pl.Series("part", np.where(held, "validation", "train"), pl.String)
                ),
                lines["test"].with_columns(pl.lit("test").alias("part")),
            ]
        )
