"""The sets that GroupLens publishes: which files each has, and which of them a folder holds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mllmrec.dataset.films import films_csv, films_dat, films_item
from mllmrec.dataset.lines import BadRows
from mllmrec.errors import Refusal

PAGE = "grouplens.org/datasets/movielens"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which files hold what, the mark between fields, and who reads the films."""

    ratings: str
    movies: str
    mark: str
    header: str | None
    films: Callable[[Path, str, BadRows], pl.DataFrame]

    @property
    def words(self) -> str:
        return f"{self.ratings} and {self.movies}"

    def lies_in(self, folder: Path) -> bool:
        """Whether one of its files is there; a missing other one is told by its name."""
        return any((folder / name).exists() for name in (self.ratings, self.movies))


ITEM = Layout(ratings="u.data", movies="u.item", mark="\t", header=None, films=films_item)
DAT = Layout(ratings="ratings.dat", movies="movies.dat", mark="::", header=None, films=films_dat)
CSV = Layout(
    ratings="ratings.csv",
    movies="movies.csv",
    mark=",",
    header="userId,movieId,rating,timestamp",
    films=films_csv,
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A set of GroupLens: its layout, its encoding, and how many ratings it has for ever."""

    layout: Layout
    encoding: str
    count: int | None


VARIANTS = {
    "100k": Variant(layout=ITEM, encoding="latin-1", count=100_000),
    "1m": Variant(layout=DAT, encoding="latin-1", count=1_000_209),
    "10m": Variant(layout=DAT, encoding="utf-8", count=10_000_054),
    "latest_small": Variant(layout=CSV, encoding="utf-8", count=None),
    "20m": Variant(layout=CSV, encoding="utf-8", count=20_000_263),
    "25m": Variant(layout=CSV, encoding="utf-8", count=25_000_095),
    "32m": Variant(layout=CSV, encoding="utf-8", count=32_000_204),
}
NEEDS = "; ".join(
    f"{', '.join(name for name, one in VARIANTS.items() if one.layout is layout)}: {layout.words}"
    for layout in (ITEM, DAT, CSV)
)


def recognised(folder: Path) -> Variant:
    """The set whose files a folder holds.

    Raises:
        Refusal: there are those of none or of several, or it cannot be told whether of 1M or 10M.
    """
    found = [layout for layout in (ITEM, DAT, CSV) if layout.lies_in(folder)]
    if len(found) > 1:
        several = " and ".join(layout.words for layout in found)
        names = [name for name, one in VARIANTS.items() if one.layout is found[0]]
        raise unclear(f"{folder}: files of several sets, {several}", names)
    if not found:
        raise nothing(folder)
    if found[0] is not DAT:
        encoding = "latin-1" if found[0] is ITEM else "utf-8"
        return Variant(layout=found[0], encoding=encoding, count=None)
    told = {"1m": (folder / "users.dat").exists(), "10m": (folder / "tags.dat").exists()}
    if told["1m"] == told["10m"]:
        beside = "both users.dat and tags.dat" if told["1m"] else "neither users.dat nor tags.dat"
        raise unclear(
            f"{folder}: {DAT.words} with {beside} beside them are of 1M or of 10M, whose encodings"
            " differ",
            ["1m", "10m"],
        )
    return VARIANTS["1m" if told["1m"] else "10m"]


def unclear(wrong: str, names: list[str]) -> Refusal:
    allowed = f"dataset.variant={'|'.join(names)} to say which"
    return Refusal(wrong, allowed=allowed, do=f"type dataset.variant={names[0]}")


def nothing(folder: Path) -> Refusal:
    """No file of any set is there, though perhaps in a folder below."""
    below = [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and any(layout.lies_in(path) for layout in (ITEM, DAT, CSV))
    ]
    get = f"get a set from https://{PAGE}, unzip it, and type dataset.path=DIR with its folder"
    return Refusal(
        f"{folder}: no file of MovieLens in it",
        allowed=NEEDS,
        do=f"type dataset.path={below[0]}" if below else get,
    )
