"""MovieTweetings: ratings that people posted, and the films' titles, years and genres."""

from pathlib import Path
from typing import Annotated, Any

import polars as pl

from mllmrec.dataset.base import Dataset, Tables, folder_of, present, sha256, shaped
from mllmrec.dataset.catalogue import one_title_each, titled
from mllmrec.dataset.lines import BadRows, Encoding, Rule, read_lines
from mllmrec.records import INTERACTIONS, ITEMS
from mllmrec.schema import NoEffect

NAME = "movietweetings"
RATINGS = "ratings.dat with lines user::item::rating::unix seconds"
MOVIES = "movies.dat with lines item::Title (year)::Genre|Genre"


class MovieTweetings(Dataset):
    """``ratings.dat`` and ``movies.dat`` in the folder ``path``; ids are strings throughout."""

    path: Annotated[str | None, NoEffect()]
    encoding: Encoding
    min_rating: float | None

    def files(self) -> tuple[Path, Path]:
        """The ratings and the movies; refuses a missing or an empty file."""
        folder = folder_of(self.path, name=NAME)
        return (
            present(folder / "ratings.dat", layout=RATINGS, name=NAME),
            present(folder / "movies.dat", layout=MOVIES, name=NAME),
        )

    def content(self) -> dict[str, Any]:
        """The hash of each file's bytes."""
        ratings, movies = self.files()
        return {"ratings": sha256(ratings), "movies": sha256(movies)}

    def load(self, out: Path) -> Tables:
        """Read both files; refuses bad rows beyond ``max_bad_rows``, each told by its line."""
        ratings, movies = self.files()
        bad = BadRows(limit=self.max_bad_rows)
        items = self.movies(movies, bad)
        rated = self.ratings(ratings, bad)
        found = titled(rated, items, bad, file=ratings, titles=movies)
        bad.report()
        lowest = float("-inf") if self.min_rating is None else self.min_rating
        liked = found.filter(pl.col("rating") >= lowest)
        dropped = {"bad_rows": bad.count, "below_min_rating": found.height - liked.height}
        return Tables(
            items=items,
            interactions=[shaped(liked, INTERACTIONS)],
            dropped=dropped,
        )

    def ratings(self, file: Path, bad: BadRows) -> pl.DataFrame:
        """``line``, ``user_id``, ``item_id``, ``rating`` and ``timestamp`` of readable rows."""
        names = ("user_id", "item_id", "rating", "timestamp")
        raw = pl.col("raw")
        cells = raw.str.split("::")
        rows = read_lines(file, self.encoding).with_columns(
            cells.list.get(place, null_on_oob=True).alias(name) for place, name in enumerate(names)
        )
        number = {
            "rating": pl.col("rating").cast(pl.Float64, strict=False),
            "timestamp": pl.col("timestamp").cast(pl.Int64, strict=False),
        }
        whole = Rule(
            bad=cells.list.len() != len(names),
            field="row",
            value=raw,
            why="not the 4 fields user::item::rating::unix seconds",
        )
        empty = [
            Rule(bad=pl.col(name) == "", field=name, value=pl.col(name), why="empty")
            for name in names[:2]
        ]
        unread = [
            Rule(bad=parsed.is_null(), field=name, value=pl.col(name), why="not a number")
            for name, parsed in number.items()
        ]
        return bad.sift(rows, file, [whole, *empty, *unread]).with_columns(**number)

    def movies(self, file: Path, bad: BadRows) -> pl.DataFrame:
        """ITEMS, each id once; the title may hold ``::``, and keeps its year."""
        raw = pl.col("raw")
        layout = r"^(?<item_id>.*?)::(?<title>.*)::(?<genres>.*)$"
        rows = read_lines(file, self.encoding).with_columns(
            raw.str.extract_groups(layout).struct.unnest()
        )
        rules = [
            Rule(
                bad=pl.col("item_id").is_null(),
                field="row",
                value=raw,
                why="not the 3 fields item::Title (year)::Genre|Genre",
            ),
            Rule(bad=pl.col("item_id") == "", field="item", value=raw, why="empty"),
        ]
        items = one_title_each(bad.sift(rows, file, rules), file, bad)
        genres = pl.col("genres").str.split("|").list.eval(pl.element().filter(pl.element() != ""))
        told = items.with_columns(
            pl.lit(None).alias("picture"),
            genres,
            pl.col("title").str.extract(r"\(([0-9]{4})\)\s*$").alias("year"),
        )
        return shaped(told, ITEMS)
