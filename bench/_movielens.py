"""Made-up ratings in the files and the shape of MovieLens 20M, for sizes that it has not.

As there: 144 ratings a user in the mean, 68 in the middle, 20 at least; films of a long tail;
users in order, each one's ratings in the order of the films and not of time, whole stars and
halves; many ratings in the same second. Films stay those 26,744 however many users there are.
"""

from pathlib import Path

import numpy as np
import polars as pl

USERS, FILMS, ROWS = 138_493, 26_744, 20_000_263
FEWEST, MOST = 20, 9_254  # ratings of a user
BATCH = 20_000  # users that are drawn together
YEAR = 365 * 86_400
HEADER = b"userId,movieId,rating,timestamp\n"


def write(folder: Path, rows: int, seed: int = 0) -> None:
    """``ratings.csv`` and ``movies.csv`` with so many ratings."""
    rng = np.random.default_rng(seed)
    films = np.sort(rng.choice(np.arange(1, 131_263), FILMS, replace=False))
    weight = (rng.permutation(FILMS) + 30.0) ** -1.3
    reach = np.cumsum(weight / weight.sum())
    genres = pl.Series(["Drama", "Comedy|Romance", "(no genres listed)"])
    pl.DataFrame({"movieId": films}).select(
        "movieId",
        title=pl.format("Film {}, The ({})", "movieId", pl.col("movieId") % 90 + 1925),
        genres=genres.gather(films % 3),
    ).write_csv(folder / "movies.csv")
    users, written = max(1, round(rows * USERS / ROWS)), 0
    with (folder / "ratings.csv").open("wb") as file:
        file.write(HEADER)
        for first in range(0, users, BATCH):
            last = min(first + BATCH, users)
            part = drawn(rng, np.arange(first, last), films, reach)
            kept = rng.permutation(part.height)[: round(rows * last / users) - written]
            part[np.sort(kept)].write_csv(file, include_header=False)
            written += len(kept)


def drawn(
    rng: np.random.Generator, users: np.ndarray, films: np.ndarray, reach: np.ndarray
) -> pl.DataFrame:
    """All ratings of some users, a film once."""
    size = np.exp(rng.normal(3.9, 1.42, len(users))) + FEWEST
    wanted = np.clip(size * 1.3, FEWEST + 9, MOST).astype(np.int64)  # some are drawn twice
    user = np.repeat(np.arange(len(users)), wanted)
    film = np.minimum(np.searchsorted(reach, rng.random(len(user))), len(films) - 1)
    pair = np.unique(user * len(films) + film)
    user, film = np.divmod(pair, len(films))
    began = rng.integers(0, 20 * YEAR, len(users)) + 789_652_009
    years = rng.exponential(0.2, len(users)) * YEAR  # most rate for days, some for years
    times = began[user] + (rng.random(len(user)) ** 3 * years[user]).astype(np.int64)
    return pl.DataFrame(
        {
            "user": users[user] + 1,
            "film": films[film],
            "rating": rng.integers(1, 11, len(user)) / 2,
            "time": times,
        }
    )
