"""The ratings and titles of the Netflix Prize, in the files that hold them today.

``combined_data_N.txt`` has a line ``movie:`` and below it a line ``user,rating,YYYY-MM-DD`` for
each rating of that movie. ``movie_titles.csv`` has lines ``movie,year,title``, where the title may
hold commas and the year may be NULL.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from mllmrec.dataset.films import matched, unmatched
from mllmrec.dataset.lines import BLOCK, BadRows, Rule, blocks, read_lines
from mllmrec.dataset.ratings import empty, no_rating, unread

DAY = 24 * 60 * 60  # seconds
NO_YEAR = ("NULL", "", "nan")


def prize_ratings(file: Path, encoding: str, bad: BadRows) -> Iterator[pl.DataFrame]:
    """``line``, ``user_id``, ``item_id``, ``rating`` and ``timestamp`` of readable rows.

    Timestamps are the midnight (UTC) of a rating's day, in unix seconds. Ratings of one day are
    in the order of the file, which is that of the movies' numbers: their own is not published.
    """
    names, movie = ("user_id", "rating", "date", "rest"), ""
    for block in blocks(file, encoding, BLOCK):
        rows, movie = headed(block, movie)
        cells = pl.col("raw").str.splitn(",", len(names))
        split = rows.with_columns(cells.struct.rename_fields([*names]).struct.unnest())
        parsed = split.with_columns(
            stars=pl.col("rating").cast(pl.Float64, strict=False),
            day=pl.col("date").str.to_date("%Y-%m-%d", strict=False),
        )
        yield bad.sift(parsed, file, rules()).select(
            "line",
            "user_id",
            "item_id",
            pl.col("stars").alias("rating"),
            pl.col("day").cast(pl.Int32).cast(pl.Int64).alias("timestamp") * DAY,
        )


def headed(block: pl.DataFrame, movie: str) -> tuple[pl.DataFrame, str]:
    """The rows of ratings, each with the movie of the last heading above, and the last movie.

    ``movie`` is that of the block before, "" where there was no heading yet.
    """
    heading = block["raw"].str.ends_with(":")
    met = block["raw"].filter(heading).str.strip_suffix(":")
    movies = pl.concat([pl.Series([movie], dtype=pl.String), met])
    ids = movies.gather(heading.cum_sum()).alias("item_id")
    return block.with_columns(ids).filter(~heading), str(movies[-1])


def rules() -> list[Rule]:
    """What makes a row of a rating bad."""
    row = pl.col("date").is_null() | pl.col("rest").is_not_null()
    why = "not the 3 fields user,rating,YYYY-MM-DD, and no 'movie:'"
    no_movie = "no line 'movie:' with an id stands above"
    return [
        Rule(bad=row, field="row", value=pl.col("raw"), why=why),
        Rule(bad=pl.col("item_id") == "", field="movie", value=pl.col("raw"), why=no_movie),
        empty("user_id"),
        no_rating(),
        unread("date", pl.col("day"), "a day YYYY-MM-DD"),
    ]


def title_rows(file: Path, encoding: str, bad: BadRows, *, quoted: bool) -> pl.DataFrame:
    """``line``, ``item_id``, ``title`` and ``year`` of readable lines ``id,year,title``.

    With ``quoted`` a title may stand in quotes, inner ones doubled; without, quotes are its own.
    """
    lines = matched(read_lines(file, encoding), r"^(?<item_id>[^,]*),(?<told>[^,]*),(?<title>.*)$")
    inner = pl.col("title").str.extract(r'^"((?:[^"]|"")*)"$').str.replace_all('""', '"')
    year = pl.col("told").str.extract(r"^([0-9]{4})(?:\.0)?$").cast(pl.Int32)
    rows = lines.with_columns(
        title=inner.fill_null(pl.col("title")) if quoted else pl.col("title"), year=year
    )
    no_year = pl.col("year").is_null() & ~pl.col("told").is_in(NO_YEAR)
    faults = [
        unmatched("the 3 fields id,year,title"),
        empty("item_id"),
        Rule(bad=no_year, field="year", value=pl.col("told"), why="neither a year nor NULL"),
    ]
    return bad.sift(rows, file, faults).select("line", "item_id", "title", "year")
