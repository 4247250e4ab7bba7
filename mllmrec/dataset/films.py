"""Films in a text file, a line each: an id, a title that keeps its year, and genres."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from mllmrec.dataset.catalogue import one_title_each
from mllmrec.dataset.lines import BadRows, Rule, read_lines
from mllmrec.dataset.ratings import below

NO_GENRE = "(no genres listed)"
# The flags of a line of u.item, in the order of u.genre.
GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def films_dat(file: Path, encoding: str, bad: BadRows) -> pl.DataFrame:
    """``item::Title (year)::Genre|Genre``; the title may hold ``::``."""
    layout = r"^(?<item_id>.*?)::(?<title>.*)::(?<genres>.*)$"
    rows = matched(read_lines(file, encoding), layout)
    return films(rows, file, bad, [unmatched("the 3 fields item::Title (year)::Genre|Genre")])


def films_csv(file: Path, encoding: str, bad: BadRows) -> pl.DataFrame:
    """``movieId,title,genres`` below a header; a title with commas stands in quotes."""
    layout = r'^(?<item_id>[^,"]*),(?:"(?<quoted>(?:[^"]|"")*)"|(?<plain>[^",][^,]*|)),'
    layout += r'(?<genres>[^,"]*)$'
    lines = below(read_lines(file, encoding), file, "movieId,title,genres")
    rows = matched(lines, layout).with_columns(
        title=pl.col("quoted").str.replace_all('""', '"', literal=True).fill_null(pl.col("plain")),
        genres=pl.when(pl.col("genres") != NO_GENRE).then("genres").otherwise(pl.lit("")),
    )
    return films(rows, file, bad, [unmatched("the 3 fields movieId,title,genres")])


def films_item(file: Path, encoding: str, bad: BadRows) -> pl.DataFrame:
    """``id|title|date|date|URL`` and 19 flags, of GENRES, 0 or 1."""
    cells = pl.col("raw").str.split("|")
    flags = cells.list.slice(5)
    rows = read_lines(file, encoding).with_columns(
        item_id=cells.list.first(),
        title=cells.list.get(1, null_on_oob=True),
        genres=pl.concat_list(
            pl.when(flags.list.get(place, null_on_oob=True) == "1").then(pl.lit(name))
            for place, name in enumerate(GENRES)
        )
        .list.drop_nulls()
        .list.join("|"),
    )
    count = 5 + len(GENRES)
    whole = Rule(
        bad=cells.list.len() != count,
        field="row",
        value=pl.col("raw"),
        why=f"not the {count} fields id|title|date|date|URL and {len(GENRES)} flags of genres",
    )
    flag = Rule(
        bad=~flags.list.eval(pl.element().is_in(["0", "1"])).list.all(),
        field="genres",
        value=flags.list.join("|"),
        why="a flag is neither 0 nor 1",
    )
    return films(rows, file, bad, [whole, flag])


def matched(lines: pl.DataFrame, layout: str) -> pl.DataFrame:
    """The lines with the named groups of a layout as columns, null where it does not fit."""
    return lines.with_columns(pl.col("raw").str.extract_groups(layout).struct.unnest())


def unmatched(words: str) -> Rule:
    """The layout does not fit; ``words`` say how a line should look."""
    value = pl.col("raw")
    return Rule(bad=pl.col("item_id").is_null(), field="row", value=value, why=f"not {words}")


def films(rows: pl.DataFrame, file: Path, bad: BadRows, rules: Sequence[Rule]) -> pl.DataFrame:
    """``item_id``, ``title``, ``genres`` (list) and ``year``, each id once.

    ``rows`` have the first three, genres with ``|`` between, and ``line`` and ``raw``. The year
    is the last one in brackets: "Up (2009)", "Extras (2005-2007)", "Taxi (1998) (V)".
    """
    nameless = Rule(bad=pl.col("item_id") == "", field="item", value=pl.col("raw"), why="empty")
    items = one_title_each(bad.sift(rows, file, [*rules, nameless]), file, bad)
    some = pl.col("genres").str.split("|").list.eval(pl.element().filter(pl.element() != ""))
    year = pl.col("title").str.extract(r"^.*\(([0-9]{4})(?:\s*[-–]\s*(?:[0-9]{4})?\s*)?\)")
    return items.select("item_id", "title", genres=some, year=year.cast(pl.Int32))
