"""MovieLens, from the files that GroupLens publishes; which of its sets, the files tell.

Three layouts, as their READMEs have them: ``u.data`` and ``u.item`` (100K, Latin-1),
``ratings.dat`` and ``movies.dat`` (1M in Latin-1, 10M in UTF-8), ``ratings.csv`` and
``movies.csv`` (all later ones, UTF-8). A film that is listed under two ids stays two items: the
audit counts such titles.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl

from mllmrec.dataset.base import Dataset, Tables, folder_of, present, sha256
from mllmrec.dataset.grouplens import PAGE, VARIANTS, Variant, recognised
from mllmrec.dataset.images import Illustrated, illustrated
from mllmrec.dataset.lines import BadRows
from mllmrec.dataset.ratings import AutoEncoding, liked, ratings
from mllmrec.schema import NoEffect

log = logging.getLogger(__name__)
NAME = "movielens"


class MovieLens(Illustrated, Dataset):
    """The files of a set in the folder ``path``; ids are strings throughout.

    ``variant`` and ``encoding`` change data only through the bytes that they have read and the
    letters that these become, and so they count by the content.
    """

    path: Annotated[str | None, NoEffect()]
    variant: Annotated[
        Literal["auto", "100k", "1m", "10m", "latest_small", "20m", "25m", "32m"], NoEffect()
    ]
    encoding: Annotated[AutoEncoding, NoEffect()]
    min_rating: float | None

    def chosen(self) -> Variant:
        """The set that ``variant`` names, or that the files tell."""
        folder = folder_of(self.path, name=NAME)
        return recognised(folder) if self.variant == "auto" else VARIANTS[self.variant]

    def files(self) -> tuple[Path, Path]:
        """The ratings and the movies; refuses a missing or an empty file."""
        layout, folder = self.chosen().layout, folder_of(self.path, name=NAME)
        words = f"{layout.words}, which {PAGE} has for download"
        return (
            present(folder / layout.ratings, layout=words, name=NAME),
            present(folder / layout.movies, layout=words, name=NAME),
        )

    def letters(self) -> str:
        """The encoding of both files."""
        return self.chosen().encoding if self.encoding == "auto" else self.encoding

    def images(self) -> Path:
        return folder_of(self.path, name=NAME) / "images"

    def content(self) -> dict[str, Any]:
        """The hash of each file's bytes, pictures by item id, and what the bytes are read as."""
        ratings, movies = self.files()
        return {
            "encoding": self.letters(),
            ratings.name: sha256(ratings),
            movies.name: sha256(movies),
            "pictures": self.picture_hashes(),
        }

    def load(self, out: Path) -> Tables:
        """Read the movies and copy the pictures; ratings are read as they are asked for."""
        file, movies = self.files()
        layout, encoding = self.chosen().layout, self.letters()
        bad = BadRows(limit=self.max_bad_rows)
        items = layout.films(movies, encoding, bad)
        dropped: dict[str, int] = {}
        read = ratings(file, encoding, bad, mark=layout.mark, header=layout.header)
        parts = {file: counted(read, file, self.chosen().count)}
        frames = liked(parts, items, bad, dropped, titles=movies, min_rating=self.min_rating)
        folder = self.images()
        items = illustrated(items, folder, out)
        return Tables(items=items, interactions=frames, dropped=dropped)


def counted(
    frames: Iterable[pl.DataFrame], file: Path, count: int | None
) -> Iterator[pl.DataFrame]:
    """The frames; at their end, a word where there are not as many rows as the set has."""
    met = 0
    for rows in frames:
        met += rows.height
        yield rows
    if count not in (None, met):
        log.warning("%s: %d ratings, where GroupLens publishes %d", file, met, count)
