"""Netflix: the ratings of the Netflix Prize, or the subset with posters that LLMRec made of them.

``prize``, as published today: ``combined_data_1.txt`` … ``_4.txt``, of which some may do, and
``movie_titles.csv``, in Latin-1. A rating has a day and no time of day: ratings of one day are in
the order of the files, that is by the movies' numbers.

``multimodal``: ``train.json``, perhaps ``val.json`` and ``test.json``, ``item_attribute.csv`` and
posters in ``images/``. Verified in the code of its authors (HKUDS/LLMRec): the three JSON files
are objects of lists of whole numbers, and ``item_attribute.csv`` has no header, its fields are id,
year and title, and a number in a list is a *row* of it, counted from 0. Not verified, as the files
are not in that repository: whether its ids are these row numbers (where they are not, ``numbers``
has to say which of both is meant), whether the lists are in the order of time, and how the posters
are called. Years may be written as 1994, 1994.0, NULL or not at all, titles in quotes or not.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl

from mllmrec.dataset.base import Dataset, Tables, folder_of, present, sha256, shaped
from mllmrec.dataset.catalogue import one_title_each, titled
from mllmrec.dataset.images import Illustrated, illustrated
from mllmrec.dataset.json_lists import joined, lists
from mllmrec.dataset.lines import BadRows
from mllmrec.dataset.prize import prize_ratings, title_rows
from mllmrec.dataset.ratings import AutoEncoding, liked
from mllmrec.errors import Refusal
from mllmrec.records import INTERACTIONS
from mllmrec.schema import NoEffect

log = logging.getLogger(__name__)
NAME = "netflix"
PARTS = [f"combined_data_{number}.txt" for number in (1, 2, 3, 4)]
LISTS = ["train.json", "val.json", "test.json"]
TITLES = {"prize": "movie_titles.csv", "multimodal": "item_attribute.csv"}
ENCODINGS = {"prize": "latin-1", "multimodal": "utf-8"}
PAGES = {
    "prize": "kaggle.com/datasets/netflix-inc/netflix-prize-data",
    "multimodal": "github.com/HKUDS/LLMRec",
}
LAYOUTS = {
    "prize": f"combined_data_1.txt (to _4.txt) and {TITLES['prize']} of {PAGES['prize']}",
    "multimodal": f"train.json (val.json, test.json) and {TITLES['multimodal']} of"
    f" {PAGES['multimodal']}",
}
Variant = Literal["prize", "multimodal"]


class Netflix(Illustrated, Dataset):
    """The files of a variant in the folder ``path``; ids are strings throughout."""

    path: Annotated[str | None, NoEffect()]
    variant: Annotated[Literal["auto", "prize", "multimodal"], NoEffect()]
    encoding: Annotated[AutoEncoding, NoEffect()]
    min_rating: float | None
    numbers: Literal["auto", "row", "id"]

    def chosen(self) -> Variant:
        """What ``variant`` names, or the files tell; refuses knobs that are of the other one."""
        folder = folder_of(self.path, name=NAME)
        variant = recognised(folder) if self.variant == "auto" else self.variant
        if variant == "multimodal" and self.min_rating is not None:
            raise Refusal(
                f"dataset.min_rating={self.min_rating:g}: there are no ratings in multimodal",
                allowed="dataset.min_rating=null there",
                do="type dataset.min_rating=null",
            )
        return variant

    def files(self) -> list[Path]:
        """The files of interactions that are there, and last the titles."""
        folder, variant = folder_of(self.path, name=NAME), self.chosen()
        names = PARTS if variant == "prize" else LISTS
        there = [folder / name for name in names if (folder / name).exists()]
        if variant == "multimodal" or not there:  # train.json must be one of them
            there = [folder / names[0], *(file for file in there if file.name != names[0])]
        files = [*there, folder / TITLES[variant]]
        return [present(file, layout=LAYOUTS[variant], name=NAME) for file in files]

    def letters(self) -> str:
        """The encoding of the text files; JSON is always in UTF-8."""
        return ENCODINGS[self.chosen()] if self.encoding == "auto" else self.encoding

    def images(self) -> Path:
        return folder_of(self.path, name=NAME) / "images"

    @property
    def has_times(self) -> bool:
        """Not in lists, which have an order alone."""
        if self.variant != "auto" or self.path is None:
            return self.variant != "multimodal"
        return not (Path(self.path) / LISTS[0]).exists()

    def content(self) -> dict[str, Any]:
        """The hash of each file's bytes, pictures by item id, and what the bytes are read as."""
        return {
            "encoding": self.letters(),
            "pictures": self.picture_hashes(),
            **{file.name: sha256(file) for file in self.files()},
        }

    def load(self, out: Path) -> Tables:
        """Read titles and lists and copy pictures; ratings are read as they are asked for."""
        *files, titles = self.files()
        variant, bad = self.chosen(), BadRows(limit=self.max_bad_rows)
        self.say(files)
        rows = title_rows(titles, self.letters(), bad, quoted=variant == "multimodal")
        if variant == "multimodal":
            rows = self.numbered(rows, titles)
        items = one_title_each(rows, titles, bad)
        dropped: dict[str, int] = {}
        frames: Iterable[pl.DataFrame]
        if variant == "prize":
            parts = {file: prize_ratings(file, self.letters(), bad) for file in files}
            frames = liked(parts, items, bad, dropped, titles=titles, min_rating=self.min_rating)
        else:
            met = [listed(file, items, bad, titles=titles) for file in files]
            bad.report()
            frames, dropped = [shaped(joined(met), INTERACTIONS)], {"bad_rows": bad.count}
        folder = self.images()
        items = illustrated(items, folder, out)
        return Tables(items=items, interactions=frames, dropped=dropped)

    def say(self, files: list[Path]) -> None:
        """Log which of the files of interactions are read, and which are not there."""
        there = [file.name for file in files]
        names = PARTS if there[0] in PARTS else LISTS
        missing = [name for name in names if name not in there]
        log.info("dataset=%s: reads %s", NAME, ", ".join(there))
        if missing:
            log.warning("dataset=%s: without %s, not there", NAME, ", ".join(missing))

    def numbered(self, rows: pl.DataFrame, titles: Path) -> pl.DataFrame:
        """The items by what a number in a list means: a row of the file, or the id in it.

        Raises:
            Refusal: both are different, and ``numbers`` does not say which is meant.
        """
        row = (pl.col("line") - 1).cast(pl.String)
        other = rows.filter(pl.col("item_id") != row)
        if self.numbers == "auto" and not other.is_empty():
            line, item_id = other.select("line", "item_id").row(0)
            raise Refusal(
                f"{titles}, line {line}: field id, value '{item_id}': not {line - 1}, its row from"
                " 0, so that a number in train.json may mean either",
                allowed="dataset.numbers=row (as LLMRec's scripts take it) or dataset.numbers=id",
                do="type dataset.numbers=row",
            )
        return rows.with_columns(item_id=row) if self.numbers == "row" else rows


def listed(file: Path, items: pl.DataFrame, bad: BadRows, *, titles: Path) -> pl.DataFrame:
    """The lists of a file without the items that have no title, which count as bad rows."""
    counted = Path(f"{file}, users as lines")
    return titled(lists(file), items, bad, file=counted, titles=titles)


def recognised(folder: Path) -> Variant:
    """The variant whose files a folder holds; refuses those of none and of both."""
    names: dict[Variant, list[str]] = {
        "prize": [*PARTS, TITLES["prize"]],
        "multimodal": ["train.json", TITLES["multimodal"]],
    }
    found = [kind for kind, some in names.items() if any((folder / n).exists() for n in some)]
    if len(found) == 1:
        return found[0]
    allowed = "; ".join(f"{kind}: {layout}" for kind, layout in LAYOUTS.items())
    if found:
        raise Refusal(
            f"{folder}: files of both prize and multimodal",
            allowed=f"dataset.variant=prize|multimodal to say which: {allowed}",
            do="type dataset.variant=prize",
        )
    raise Refusal(
        f"{folder}: no file of Netflix in it",
        allowed=allowed,
        do=f"get them from https://{PAGES['prize']}, unzip, and type dataset.path=DIR with their"
        " folder",
    )
