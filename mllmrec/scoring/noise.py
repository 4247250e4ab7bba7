"""Answers scored under noise on the last token of their prompt: one answer, many conditions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mllmrec.scoring.trie import Row, Tokens, pack


class Tried(tuple[int, ...]):
    """An answer's tokens under the noise of one seed.

    Equal tokens under another seed, or under no noise at all, are another completion: it has
    another score. What is cut from it is plain tokens.
    """

    seed: int

    def __new__(cls, tokens: Tokens, seed: int) -> "Tried":
        made = super().__new__(cls, tokens)
        made.seed = seed
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tried) and self.seed == other.seed and super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.seed, *self))

    def __getnewargs__(self) -> tuple[tuple[int, ...], int]:
        return tuple(self), self.seed


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What is added to the embedding of the token that each answer of a row follows.

    ``seeds`` has one an answer, None for none; ``sigma`` is the standard deviation in units of the
    root mean square of that embedding's values.
    """

    seeds: Sequence[int | None]
    sigma: float

    def drawn(self, width: int) -> NDArray[np.float32]:
        """ε ~ N(0, σ²I) by answer, (answers, width), each by its own seed's generator."""
        found = np.zeros((len(self.seeds), width), dtype=np.float32)
        for row, seed in zip(found, self.seeds, strict=True):
            if seed is not None:
                row[:] = np.random.Generator(np.random.Philox(key=seed)).standard_normal(width)
        return found * np.float32(self.sigma)


def tried(prompt: Tokens, answers: Sequence[Tokens], sigma: float) -> Row:
    """A prompt and its answers, each behind a last token of its own that may take noise."""
    seeds = [answer.seed if isinstance(answer, Tried) else None for answer in answers]
    return replace(pack(prompt, answers, nodes=1), noise=Noise(seeds=seeds, sigma=sigma))
