"""Pairs of rollouts drawn anew, those of large advantages more often."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mllmrec.algorithm.base import Rebatch
from mllmrec.algorithm.batch import Batch
from mllmrec.algorithm.rebatch.pairs import paired
from mllmrec.seeds import seed_for


class Shuffle(Rebatch):
    """Advantage-based shuffle: S rounds each draw T pairs without replacement, with chances

        Φ_j = W_j^p / Σ W^p,   W = |A⁺| + |A⁻| (``sum``), or their ``max``

    and the step learns from what all rounds drew: a row that two rounds drew counts twice. Pairs
    are those of ``pairs``, which need not have gone before it. Of M pairs S·T are drawn, and M
    where T is not given: the step is as large as it was. Shuffle-R1, arXiv 2508.05612. Pairs of
    weight 0 come after all others, in random order; a round draws M at most; and where all weights
    are 0 the step stays as it is (our definition).
    """

    weight: Literal["sum", "max"]
    power: Annotated[float, Field(gt=0)]
    rounds: Annotated[int, Field(ge=1)]
    subset: Annotated[int, Field(ge=1)] | None

    def __call__(self, batch: Batch) -> Batch:
        found = paired(batch)
        pairs = [pair for group in found.groups for pair in group]
        weights = np.array([self.weigh(*(abs(found.values[r]) for r in pair)) for pair in pairs])
        drawn: list[int] = []
        if weights.any():
            for turn, size in enumerate(self.sizes(len(pairs))):
                seed = seed_for(batch.context.seed, "shuffle", batch.step, turn)
                drawn += draw(weights, self.power, size, seed)
        made = batch.take([row for j in drawn for row in pairs[j]]) if drawn else batch
        batch.charts.update(
            {
                "rebatch/shuffle/size": len(made) / len(batch),
                "rebatch/shuffle/distinct": len(set(drawn)) / max(1, len(pairs)) if drawn else 1.0,
                "rebatch/shuffle/without_partner": float(found.left if drawn else 0),
                "rebatch/shuffle/no_weight_at_all": float(not drawn),
            }
        )
        return made

    def weigh(self, better: float, worse: float) -> float:
        if self.weight == "max":
            return max(better, worse)
        return better + worse

    def sizes(self, pairs: int) -> list[int]:
        """How many pairs each round draws."""
        if self.subset is not None:
            return [min(self.subset, pairs)] * self.rounds
        return [
            pairs * (n + 1) // self.rounds - pairs * n // self.rounds for n in range(self.rounds)
        ]


def draw(weights: NDArray[np.float64], power: float, size: int, seed: int) -> list[int]:
    """So many places, one after the other, each by its weight^power among those not yet drawn.

    E = −log(1 − u) / w of a uniform u is exponential of rate w; the least of several is that of j
    with the chance w_j / Σ w, and so are the next among the rest (Efraimidis and Spirakis 2006).
    """
    numbers = np.random.Generator(np.random.Philox(key=seed)).random(len(weights))
    relative = (weights / weights.max()) ** power
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        keys = -np.log1p(-numbers) / relative
    keys[relative == 0] = np.inf
    return np.lexsort((numbers, keys))[:size].tolist()
