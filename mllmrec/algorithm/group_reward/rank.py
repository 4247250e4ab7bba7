"""A wrong answer costs more the more probable it was."""

import math
from typing import TYPE_CHECKING

from mllmrec.algorithm.base import GroupReward
from mllmrec.algorithm.batch import Batch, Tokens

if TYPE_CHECKING:
    from torch import Tensor


class Rank(GroupReward):
    """R(i) = 0 for the target, −w_i for any other answer.

        w_i = (1 / log2(ρ_i + 2)) / Σ_j 1 / log2(ρ_j + 2),   j over the rows that were drawn

    ρ_i from 0 is the place of row i in its group by the sampler's log-probability of the whole
    completion (``Batch.sums``; what is equal goes by its tokens), never by arrival. With
    ``zero_if_no_hit`` a group without the target pays nothing. ReRe, arXiv 2510.12211, and its
    public code, where groups are beams, so that no completion is there twice. Repeats in sampled
    groups share a rank, and the next completion has the next one; the w of a group sum to 1 all
    the same (our definition).

    Log-probabilities −1, −2, −3, −4, the second the target: 1 / log2(ρ + 2) is 1, .631, .5 and
    .431, together 2.562, and the rewards are −.390, 0, −.195 and −.168.
    """

    zero_if_no_hit: bool

    def __call__(self, batch: Batch) -> "Tensor":
        shares = batch.rewards.new_tensor(ranks(batch))
        shares = 1 / (shares + 2).log2()
        shares = shares / batch.total(shares)[batch.owner]
        hits = batch.hits.to(shares)
        found = -shares * (1 - hits)
        if self.zero_if_no_hit:
            found = found * (batch.total(hits) > 0).to(found)[batch.owner]
        return found


def ranks(batch: Batch) -> list[int]:
    """The place of each row among the distinct completions of its group, the most probable 0."""
    sums = batch.sums.tolist()
    found = [0] * len(batch)
    for rows in batch.groups:
        best: dict[Tokens, float] = {}
        for row in rows:
            tokens = batch.completions[row]
            best[tokens] = min(best.get(tokens, math.inf), -sums[row])
        order = sorted(best, key=lambda tokens: (best[tokens], tokens))
        places = {tokens: place for place, tokens in enumerate(order)}
        for row in rows:
            found[row] = places[batch.completions[row]]
    return found
