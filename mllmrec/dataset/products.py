"""The products of Amazon Reviews: titles, categories, and where their pictures can be fetched."""

import html
import logging
import shlex
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

import polars as pl

from mllmrec.artifacts import PARTIAL
from mllmrec.dataset import lines
from mllmrec.dataset.images import pictures
from mllmrec.dataset.jsonl import listed, objects
from mllmrec.dataset.lines import BadRows, Rule

log = logging.getLogger(__name__)
FIELDS = ("parent_asin", "asin", "title", "categories", "category", "images")
SIZES = ("large", "hi_res", "thumb")  # of 2023, the one that is always there first
PICTURES = ("imageURLHighRes", "imageURL")  # 2018, best first
URLS = "image_urls.tsv"
ID, URL = r"^[A-Za-z0-9][A-Za-z0-9._-]*$", r"^https?://[!#-\[\]-~]+$"  # what a shell cannot mistake
SCRIPT = r"^\s*<|getTime"  # pages that were taken for titles, by their owners' own account of 2018
GENRES = pl.List(pl.String)


def products(file: Path, bad: BadRows, dropped: MutableMapping[str, int]) -> pl.DataFrame:
    """``line``, ``item_id``, ``title``, ``genres`` and ``url`` of each product, once.

    A title that is a piece of a page is none; of several titles of one product the first counts.
    Titles and genres are freed of HTML's ``&amp;`` and the like; ``title`` may be empty.
    """
    empty = pl.col("item_id").fill_null("").str.strip_chars() == ""
    rule = Rule(bad=empty, field="parent_asin", value=pl.col("title"), why="missing or empty")
    frames = [
        bad.sift(read(rows), file, [rule])
        for rows in objects(file, {name: name for name in (*FIELDS, *PICTURES)}, bad, lines.BLOCK)
    ]
    found = pl.concat(frames)
    is_titled = pl.col("title").str.strip_chars() != ""
    once = (
        found.sort(~is_titled, maintain_order=True)
        .unique("item_id", keep="first", maintain_order=True)
        .sort("line")
    )
    dropped["repeated_products"] = found.height - once.height
    return once


def read(rows: pl.DataFrame) -> pl.DataFrame:
    """What we keep of the lines of one block."""
    title = pl.col("title").fill_null("")
    of_2018 = [pl.col(name).str.extract(r'"(https?:[^"]+)"') for name in PICTURES]
    of_2023 = [pl.col("images").str.extract(rf'"{size}":\s*"(https?:[^"]+)"') for size in SIZES]
    kept = rows.select(
        "line",
        pl.coalesce("parent_asin", "asin").alias("item_id"),
        pl.when(title.str.contains(SCRIPT)).then(pl.lit("")).otherwise(title).alias("title"),
        pl.coalesce("categories", "category").alias("genres"),
        pl.coalesce(*of_2023, *of_2018).alias("url"),
    )
    return kept.with_columns(freed(kept["title"]), genres(kept["genres"]))


def freed(texts: pl.Series) -> pl.Series:
    """Text without the escapes of HTML, the few that have some one by one."""
    wanted = texts.filter(texts.str.contains("&", literal=True)).unique()
    plain = [html.unescape(text) for text in wanted]
    return texts.replace(wanted, pl.Series(plain, dtype=pl.String))


def genres(texts: pl.Series) -> pl.Series:
    """Lists of genres, of which there are few, each read once."""
    wanted = texts.drop_nulls().unique()
    split = [[html.unescape(one) for one in listed(text)] for text in wanted]
    known = pl.DataFrame({"genres": wanted, "split": pl.Series(split, dtype=GENRES)})
    found = texts.to_frame().join(known, on="genres", how="left", maintain_order="left")
    return found["split"].fill_null(pl.Series([[]], dtype=GENRES)).alias("genres")


def fetched_later(
    frames: Iterable[pl.DataFrame], items: pl.DataFrame, folder: Path, out: Path, *, least: int
) -> Iterator[pl.DataFrame]:
    """The same frames; behind the last one, ``image_urls.tsv`` is written and told.

    It has the address of a picture of each item that was met ``least`` times, and so may be kept,
    and has none in ``folder``.
    """
    counts = pl.DataFrame(schema={"item_id": pl.String, "len": pl.UInt32})
    for frame in frames:
        counts = pl.concat([counts, frame["item_id"].value_counts(name="len")])
        counts = counts.group_by("item_id").agg(pl.col("len").sum().cast(pl.UInt32))
        yield frame
    met = counts.filter(pl.col("len") >= least).select("item_id")
    wanted = items.filter(
        pl.col("item_id").str.contains(ID)
        & pl.col("url").str.contains(URL)
        & ~pl.col("item_id").is_in([*pictures(folder)])
    )
    listing = wanted.join(met, on="item_id", how="semi", maintain_order="left")
    listing.select("item_id", "url").write_csv(out / URLS, separator="\t", include_header=False)
    if len(listing):
        log.info("%d pictures are not in %s; %s says where they are", len(listing), folder, URLS)
        there = out.with_name(out.name.removeprefix(PARTIAL))  # once the artifact is published
        log.info("to fetch them: %s", command(there / URLS, folder))


def command(urls: Path, folder: Path) -> str:
    """What fetches the pictures when it is typed."""
    script = """{print "url=\\"" $2 "\\"\\noutput=\\"" $1 ".jpg\\""}"""
    place = shlex.quote(str(folder.absolute()))
    return (
        f"mkdir -p {place} && awk -F'\\t' '{script}' {shlex.quote(str(urls.absolute()))}"
        f" | (cd {place} && curl -fsSLZ --parallel-max 8 --config -)"
    )
