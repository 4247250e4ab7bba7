"""MovieTweetings: ratings that people posted, and the films' titles, years and genres."""

from pathlib import Path
from typing import Annotated, Any

from mllmrec.dataset.base import Dataset, Tables, folder_of, present, sha256, shaped
from mllmrec.dataset.films import films_dat
from mllmrec.dataset.lines import BadRows, Encoding
from mllmrec.dataset.ratings import liked, ratings
from mllmrec.records import ITEMS
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
        file, movies = self.files()
        bad = BadRows(limit=self.max_bad_rows)
        items = films_dat(movies, self.encoding, bad)
        dropped: dict[str, int] = {}
        read = {file: ratings(file, self.encoding, bad, mark="::")}
        frames = liked(read, items, bad, dropped, titles=movies, min_rating=self.min_rating)
        return Tables(
            items=shaped(items.with_columns(picture=None), ITEMS),
            interactions=list(frames),
            dropped=dropped,
        )
