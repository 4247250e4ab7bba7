"""Amazon Reviews 2018 and 2023 (McAuley Lab, UCSD): who reviewed which product, and what it is.

Each category has a file of reviews, as JSON lines or as ratings alone in CSV, and one of products,
JSON lines; all may be in gzip. Which edition a file is of, its fields tell:

- 2018: reviews with reviewerID, asin, overall and unixReviewTime (seconds); ratings with lines
  item,user,rating,timestamp and no header; products with asin, title, category and imageURL,
  imageURLHighRes.
- 2023: reviews with user_id, parent_asin, rating and timestamp (milliseconds); ratings with the
  header user_id,parent_asin,rating,timestamp, perhaps history; products with parent_asin, title,
  categories and images.

The ratings of 2014 are user,item,…: which column is the item, the products tell.
"""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from mllmrec.dataset import lines
from mllmrec.dataset.base import Dataset, Tables, folder_of, present, sha256
from mllmrec.dataset.clock import per_second, whole_times
from mllmrec.dataset.delimited import HEAD, first_record, records
from mllmrec.dataset.images import Illustrated, illustrated
from mllmrec.dataset.jsonl import objects
from mllmrec.dataset.lines import BadRows, Rule
from mllmrec.dataset.opening import kind
from mllmrec.dataset.products import fetched_later, products
from mllmrec.dataset.titling import Untitled, items_once, of_known_items
from mllmrec.errors import Refusal
from mllmrec.schema import NoEffect

log = logging.getLogger(__name__)
NAME = "amazon"
HOME = "amazon-reviews-2023.github.io, or nijianmo.github.io/amazon for 2018"
LAYOUT = f"reviews or ratings of a category and its meta_CATEGORY.jsonl.gz, from {HOME}"
PRODUCTS = "meta_"
ENDINGS = ("jsonl", "json", "csv")  # of the files, perhaps with .gz behind


@dataclass(frozen=True, kw_only=True)
class Edition:
    """How the reviews of an edition call what we read; ``unit`` is parts of a second."""

    user: str
    item: str
    rating: str
    time: str
    unit: int

    @property
    def fields(self) -> list[str]:
        return [self.user, self.item, self.rating, self.time]


OF_2018 = Edition(user="reviewerID", item="asin", rating="overall", time="unixReviewTime", unit=1)
OF_2023 = Edition(user="user_id", item="parent_asin", rating="rating", time="timestamp", unit=1000)
NAMES = ("user_id", "item_id", "rating", "text")  # as they are called here
WRITTEN, STARS = pl.col("text").str.strip_chars(), pl.col("rating").cast(pl.Float64, strict=False)
NO_STARS = STARS.is_null() | ~STARS.is_finite()


def missing(name: str, field: str) -> Rule:
    is_missing = pl.col(name).fill_null("").str.strip_chars() == ""
    return Rule(bad=is_missing, field=field, value=pl.col(name), why="missing or empty")


class Amazon(Illustrated, Dataset):
    """A category's files in the folder ``path``; ids are strings throughout."""

    path: Annotated[str | None, NoEffect()]
    name: Annotated[str | None, NoEffect()]
    reviews: Annotated[str | None, NoEffect()]
    min_rating: float | None
    untitled: Untitled

    def files(self) -> tuple[Path, Path]:
        """The reviews and the products; refuses missing and empty ones, and several."""
        folder = folder_of(self.path, name=NAME)
        there = sorted(file for file in folder.iterdir() if kind(file) in ENDINGS)
        names = [stem(file).removeprefix(PRODUCTS) for file in there if is_products(file)]
        if self.name not in names and (self.name or len(set(names)) != 1):
            raise several(folder, "meta_CATEGORY.jsonl", [*dict.fromkeys(names)], "dataset.name")
        name = self.name or names[0]
        titles = [file for file in there if stem(file) == PRODUCTS + name]
        if self.reviews:
            return self.present(folder / self.reviews), self.present(titles[0])
        found = [file for file in there if stem(file) in (name, f"{name}_5", f"ratings_{name}")]
        found += [file for file in there if stem(file) in (f"reviews_{name}", f"reviews_{name}_5")]
        if len(found) != 1:
            listed = [file.name for file in found]
            raise several(folder, f"{name}.jsonl, .json or .csv", listed, "dataset.reviews")
        return self.present(found[0]), self.present(titles[0])

    def present(self, file: Path) -> Path:
        return present(file, layout=LAYOUT, name=NAME)

    def images(self) -> Path:
        return folder_of(self.path, name=NAME) / "images"

    def content(self) -> dict[str, Any]:
        """The hash of each file's bytes, pictures by item id."""
        reviews, titles = self.files()
        hashes = {"reviews": sha256(reviews), "products": sha256(titles)}
        return hashes | {"pictures": self.picture_hashes()}

    def load(self, out: Path) -> Tables:
        """Read the files and copy the pictures; refuses bad rows beyond ``max_bad_rows``.

        Leaves ``image_urls.tsv`` in ``out``: where the pictures of the products can be fetched.
        """
        reviews, titles = self.files()
        log.info("reads %s and %s", reviews.name, titles.name)
        bad, dropped = BadRows(limit=self.max_bad_rows), dict[str, int]()
        told = products(titles, bad, dropped)
        items = items_once(told, titles, bad, dropped, self.untitled)
        read = (
            self.rated(reviews, items, bad, dropped)
            if kind(reviews) == "csv"
            else self.reviewed(reviews, bad, dropped)
        )
        known = of_known_items(
            read, items, bad, dropped, file=reviews, titles=titles, how=self.untitled
        )
        folder = self.images()
        return Tables(
            items=illustrated(items, folder, out),
            interactions=fetched_later(known, items, folder, out, least=self.k_core or 1),
            dropped=dropped,
        )

    def reviewed(self, file: Path, bad: BadRows, dropped: dict[str, int]) -> Iterator[pl.DataFrame]:
        """INTERACTIONS and ``line`` of JSON lines."""
        both = {name: name for name in (*OF_2018.fields, *OF_2023.fields)}
        none = pl.DataFrame(schema=dict.fromkeys(both, pl.String))
        first = next(objects(file, both, BadRows(limit=sys.maxsize), HEAD), none)
        of_2023 = first[OF_2023.user].count() >= first[OF_2018.user].count()
        edition = OF_2023 if of_2023 else OF_2018
        fields = dict(zip(NAMES, edition.fields, strict=True))
        read = objects(file, fields | {"asin": "asin"}, bad, lines.BLOCK)
        parent = pl.coalesce("item_id", "asin")  # where variants have none, they are their own
        frames = (rows.with_columns(item_id=parent) for rows in read)
        return self.judged(frames, file, edition, bad, dropped)

    def rated(
        self, file: Path, items: pl.DataFrame, bad: BadRows, dropped: dict[str, int]
    ) -> Iterator[pl.DataFrame]:
        """The same of ratings alone."""
        head = first_record(file, "utf-8", ",")
        skip = int(head[:4] == OF_2023.fields)
        names = [*NAMES, *(f"field {number}" for number in range(5, len(head) * skip + 1))]
        any_number = BadRows(limit=sys.maxsize)
        top = next(records(file, "utf-8", ",", names, any_number, skip=skip, size=HEAD))
        if not skip and not self.user_first(top, items, file):
            names[:2] = names[1::-1]
        times = top["text"].cast(pl.Int64, strict=False).drop_nulls().to_list()
        edition = OF_2023 if times and per_second(times[0]) == OF_2023.unit else OF_2018
        read = records(file, "utf-8", ",", names, bad, skip=skip, size=lines.BLOCK)
        return self.judged(read, file, edition, bad, dropped)

    def user_first(self, top: pl.DataFrame, items: pl.DataFrame, file: Path) -> bool:
        """Whether the items stand in the second column; refuses where none of both has any."""
        known = items["item_id"].implode()
        second, first = (int(top[name].is_in(known).sum()) for name in ("item_id", "user_id"))
        if not first and not second:
            raise Refusal(
                f"{file}: none of the products of its first {top.height} rows has a title",
                allowed="item,user,rating,timestamp (2018), or with the header of 2023,"
                " user_id,parent_asin,rating,timestamp",
                do=f"the ratings and the products of one category and edition, from {HOME}",
            )
        return second > first

    def judged(
        self,
        frames: Iterator[pl.DataFrame],
        file: Path,
        edition: Edition,
        bad: BadRows,
        dropped: dict[str, int],
    ) -> Iterator[pl.DataFrame]:
        """INTERACTIONS and ``line`` of readable rows with ``min_rating``, times as they are."""
        rules = [missing("user_id", edition.user), missing("item_id", edition.item)]
        rules += [Rule(bad=NO_STARS, field="rating", value=pl.col("rating"), why="no number")]
        rules += whole_times(pl.col("text"), edition.unit)
        if self.min_rating is not None:
            dropped["below_min_rating"] = 0
        for rows in frames:
            timed = rows.with_columns(timestamp=WRITTEN.cast(pl.Int64, strict=False))
            good = bad.sift(timed, file, rules)
            kept = good if self.min_rating is None else good.filter(self.min_rating <= STARS)
            if self.min_rating is not None:
                dropped["below_min_rating"] += good.height - kept.height
            yield kept.select("line", "user_id", "item_id", "timestamp")


def stem(file: Path) -> str:
    """The name of a file before what tells of its kind."""
    return file.name.removesuffix(".gz").rpartition(".")[0]


def is_products(file: Path) -> bool:
    return file.name.startswith(PRODUCTS) and kind(file) != "csv"


def several(folder: Path, wanted: str, names: list[str], knob: str) -> Refusal:
    there = ", ".join(names) or "none"
    return Refusal(
        f"{folder}: of {wanted} there is not the one that is meant, but {there}",
        allowed=f"dataset={NAME} reads {LAYOUT}",
        do=f"type {knob}={names[0]}" if names else "dataset.path=DIR with a DIR that holds them",
    )
