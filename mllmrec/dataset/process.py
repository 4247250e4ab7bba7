"""The known preference process behind the toy data, and the best that anyone can know of it.

An item has a genre, a picture style and a popularity; a user has one favourite genre for good
and a favourite style that changes now and then. The next item is drawn among those not yet
seen, with p(i) proportional to weight[i] · exp(genre_pull if its genre is the favourite) ·
exp(style_pull if its style is the one of the moment).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

KINDS = 8  # of genres, and of styles


@dataclass(frozen=True, kw_only=True)
class Process:
    """Knows the items' hidden traits: ``genre``, ``style`` (integers below KINDS), ``weight``.

    ``stay`` is the probability that the style of the moment is kept from one item to the next;
    otherwise a new one is drawn among all of them.
    """

    genre: np.ndarray
    style: np.ndarray
    weight: np.ndarray
    genre_pull: float
    style_pull: float
    stay: float

    @cached_property
    def pull(self) -> np.ndarray:
        """Unnormalised preference: (tastes, items), where taste = genre · KINDS + style."""
        taste = np.arange(KINDS * KINDS)[:, None]
        liked = self.genre_pull * (self.genre == taste // KINDS)
        liked = liked + self.style_pull * (self.style == taste % KINDS)
        return self.weight * np.exp(liked)

    def draw(self, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Item numbers (users, longest), -1 after a user's length."""
        users, longest = len(lengths), int(lengths.max())
        drawn = np.full((users, longest), -1)
        unseen = np.ones((users, len(self.weight)))
        genre, style = rng.integers(KINDS, size=(2, users))
        for step in range(longest):
            drawn[:, step] = _pick(self.pull[genre * KINDS + style] * unseen, rng)
            unseen[np.arange(users), drawn[:, step]] = 0
            moves = rng.random(users) >= self.stay
            style = np.where(moves, rng.integers(KINDS, size=users), style)
        drawn[np.arange(longest) >= lengths[:, None]] = -1
        return drawn

    def log_next(self, histories: np.ndarray) -> np.ndarray:
        """Log p(next item | history): (users, items), from item numbers padded with -1.

        The exact Bayes filter over (genre, style of the moment): the forward algorithm, in
        which every step is normalised over the items unseen by then. -inf for seen items.
        """
        users = np.arange(len(histories))
        belief = np.full((len(histories), KINDS * KINDS), KINDS**-2.0)
        unseen = np.ones((len(histories), len(self.weight)))
        for column in histories.T:
            told = users[column >= 0]
            item = column[told]
            likelihood = self.pull[:, item].T / (unseen[told] @ self.pull.T)
            belief[told] = self._moved(_normal(belief[told] * likelihood))
            unseen[told, item] = 0
        chance = (belief / (unseen @ self.pull.T)) @ self.pull * unseen
        with np.errstate(divide="ignore"):
            return np.log(chance)

    def _moved(self, belief: np.ndarray) -> np.ndarray:
        """The belief one step on, when the style may have changed."""
        joint = belief.reshape(-1, KINDS, KINDS)
        moved = self.stay * joint + (1 - self.stay) * joint.mean(axis=2, keepdims=True)
        return moved.reshape(belief.shape)


def _normal(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=1, keepdims=True)


def _pick(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One column a row, by weight; a column of weight 0 is never picked."""
    reach = weights.cumsum(axis=1)
    aim = rng.random(len(weights))[:, None] * reach[:, -1:]
    return (reach <= aim).sum(axis=1)
