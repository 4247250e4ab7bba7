"""Made-up films whose posters tell a part of the taste that their titles do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import polars as pl
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from mllmrec.dataset.base import Dataset, Tables, shaped
from mllmrec.dataset.posters import draw_posters
from mllmrec.dataset.process import KINDS, Process
from mllmrec.dataset.titles import GENRES, titles
from mllmrec.records import INTERACTIONS, ITEMS

GENERATOR = 1  # raise it when the same knobs would make other data
START = 1_600_000_000  # seconds; the first user's first interaction
DAY = 86_400
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class ToyOracle:
    """The process, asked by item ids."""

    process: Process
    item_ids: tuple[str, ...]

    def log_probability(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        """Natural log of each next item's probability: (histories, items in the table's order)."""
        number = {item_id: index for index, item_id in enumerate(self.item_ids)}
        padded = np.full((len(histories), max(map(len, histories))), -1)
        for row, history in zip(padded, histories, strict=True):
            row[: len(history)] = [number[item_id] for item_id in history]
        return self.process.log_next(padded)


class Toy(Dataset):
    """Deterministic from its own knobs; genre is told by title words, style only by pixels."""

    seed: NonNegativeInt
    users: PositiveInt
    items: Annotated[int, Field(ge=2 * KINDS)]
    shortest: PositiveInt
    longest: PositiveInt
    genre_pull: NonNegativeFloat
    style_pull: NonNegativeFloat
    stay: Share
    tail: NonNegativeFloat
    rare_share: Share
    rare_weight: Annotated[float, Field(gt=0, le=1)]
    poster_size: Annotated[int, Field(ge=16)]

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if not self.shortest <= self.longest < self.items:
            raise ValueError("must hold: dataset.shortest <= dataset.longest < dataset.items")
        return self

    @property
    def has_oracle(self) -> bool:
        return True

    @property
    def has_pictures(self) -> bool:
        return True

    def content(self) -> dict[str, Any]:
        """Nothing from outside: the knobs say it all, and the generator's version."""
        return {"generator": GENERATOR}

    def load(self, out: Path) -> Tables:
        """Make everything, and draw the posters into ``out/pictures``."""
        for_items, for_users = np.random.default_rng(self.seed).spawn(2)
        process = self.process(for_items)
        item_ids = tuple(str(index) for index in range(self.items))
        names = draw_posters(out / "pictures", process.style, size=self.poster_size, seed=self.seed)
        columns = {
            "item_id": item_ids,
            "title": titles(process.genre, for_items),
            "picture": [f"pictures/{name}" for name in names],
            "genres": [[GENRES[genre]] for genre in process.genre],
            "year": [None] * self.items,
        }
        return Tables(
            items=pl.DataFrame(columns, schema=ITEMS),
            interactions=[self.interactions(process, for_users)],
            oracle=ToyOracle(process=process, item_ids=item_ids),
        )

    def process(self, rng: np.random.Generator) -> Process:
        """Genres and styles in equal shares, independent of one another; a long tail."""
        weight = (1.0 + rng.permutation(self.items)) ** -self.tail
        rare = np.argsort(weight)[: round(self.rare_share * self.items)]
        weight[rare] *= self.rare_weight
        return Process(
            genre=rng.permutation(np.arange(self.items) % KINDS),
            style=rng.permutation(np.arange(self.items) % KINDS),
            weight=weight,
            genre_pull=self.genre_pull,
            style_pull=self.style_pull,
            stay=self.stay,
        )

    def interactions(self, process: Process, rng: np.random.Generator) -> pl.DataFrame:
        """All users' interactions, one user after the other (INTERACTIONS)."""
        lengths = rng.integers(self.shortest, self.longest + 1, size=self.users)
        drawn = process.draw(lengths, rng)
        gaps = rng.integers(60, DAY, size=drawn.shape)
        times = START + rng.integers(365 * DAY, size=(self.users, 1)) + gaps.cumsum(axis=1)
        user, step = np.nonzero(drawn >= 0)
        columns = {"user_id": user, "item_id": drawn[user, step], "timestamp": times[user, step]}
        told = pl.DataFrame(columns).with_columns(pl.format("u{}", "user_id").alias("user_id"))
        return shaped(told, INTERACTIONS)
