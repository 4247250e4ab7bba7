"""The layout of the published scripts: train.tsv, test.tsv, NAME_titles.csv, perhaps images/.

Each line of a .tsv is ``user TAB items``, item ids with spaces between, oldest first; the last
one is the target of that line. Our splits follow theirs: each line of test.tsv with
``min_interactions`` items is a test sample; the lines of train.tsv give training samples, save
those of a share of the users, fixed by a hash of their ids, whose lines are for validation.
History lies within the line; as published, it is at most its last ``min_interactions`` - 1
items with ``prepare.history_length`` one less than ``min_interactions``. An item twice in a
line stays at its last place. Negatives leave out a user's items in all lines of both files.
Several sets may stand side by side, in folders or in one zip (``bundle``).

NAME_titles.csv has lines ``id,title``: what follows the first comma is the title, in quotes
or not. Its first line is a header where its title is the word title and no line of the .tsv
files mentions its id, so that no item that matters can be mistaken for one.
"""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from mllmrec.dataset import bundle
from mllmrec.dataset.base import Dataset, Tables, shaped
from mllmrec.dataset.bundle import present, sha256
from mllmrec.dataset.catalogue import one_title_each, titled
from mllmrec.dataset.images import Illustrated, illustrated
from mllmrec.dataset.lines import BadRows, Encoding, Rule, read_lines
from mllmrec.dataset.lists import lists
from mllmrec.dataset.negatives import keys, uniforms
from mllmrec.errors import Refusal
from mllmrec.records import INTERACTIONS
from mllmrec.schema import NoEffect

log = logging.getLogger(__name__)
NAME = "reference"
LAYOUT = "train.tsv and test.tsv with lines 'user TAB item item …', NAME_titles.csv with id,title"
LAYOUT += ", as in the zip that the published scripts' README links"


class Reference(Illustrated, Dataset):
    """The files in the folder or the zip ``path``; ids are strings throughout."""

    k_core: Literal[None]  # the files come filtered
    path: Annotated[str | None, NoEffect()]
    name: Annotated[str | None, NoEffect()]
    encoding: Encoding
    validation_share: Annotated[float, Field(gt=0, lt=1)]

    @property
    def folder(self) -> Path:
        """Where the files of the set lie, perhaps in a zip; refuses none, and several."""
        return bundle.folder(self.path, self.name, dataset=NAME)

    def files(self) -> dict[str, Path]:
        """The three text files by role; refuses a missing or an empty one."""
        folder = self.folder
        files = {"train": folder / "train.tsv", "test": folder / "test.tsv"}
        files["titles"] = self.titles_file(folder)
        return {role: present(file, layout=LAYOUT, name=NAME) for role, file in files.items()}

    def titles_file(self, folder: Path) -> Path:
        ending = "_titles.csv"
        named = [file.name for file in folder.iterdir() if file.name.endswith(ending)]
        names = sorted(name.removesuffix(ending) for name in named)
        if len(names) > 1 and self.name is None:
            raise Refusal(
                f"{folder}: {len(names)} files of titles, of {', '.join(names)}",
                allowed="one, or dataset.name to say which",
                do=f"dataset.name={names[0]}",
            )
        is_of_folder = len(names) == 1 and self.name in (None, folder.name)
        return folder / f"{names[0] if is_of_folder else self.name or 'NAME'}{ending}"

    def images(self) -> Path:
        return self.folder / "images"

    @property
    def has_times(self) -> bool:
        """Never: each row has its order alone."""
        return False

    def content(self) -> dict[str, Any]:
        """The hash of each file's bytes, pictures by item id."""
        hashes = {role: sha256(file) for role, file in self.files().items()}
        return hashes | {"pictures": self.picture_hashes()}

    def load(self, out: Path) -> Tables:
        """Read the files and copy the pictures into ``out/pictures``; refuses bad rows."""
        files = self.files()
        log.info("reads the set in %s", self.folder)
        bad = BadRows(limit=self.max_bad_rows)
        met = {
            part: pl.concat(lists(files[part], self.encoding, bad)) for part in ("train", "test")
        }
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
            items=illustrated(items, self.images(), out),
            interactions=[
                shaped(once["train"].with_columns(timestamp=pl.int_range(pl.len())), INTERACTIONS)
            ],
            rows=self.parted(once),
            dropped={"bad_rows": bad.count, "repeats": repeats},
        )

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
