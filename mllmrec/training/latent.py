"""The target's answer, tried under noise on its prompt."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from mllmrec.algorithm.rollout.latent import Latent
from mllmrec.scoring.book import Pair, held, rows_of
from mllmrec.scoring.noise import Tried, tried
from mllmrec.scoring.trie import Row
from mllmrec.seeds import seed_for
from mllmrec.training.composed import Composed
from mllmrec.training.rolling import Groups


class Trying(Composed):
    """A group is the target's answer so many times, the first time without noise."""

    def roll(self, samples: Sequence[Any], draws: int) -> Groups:
        groups = [self.tries(sample, draws) for sample in samples]
        pairs = [
            (tuple(self.prompt(sample)), answer)
            for sample, group in zip(samples, groups, strict=True)
            for answer in group
        ]
        self.book = self.scored(self.model, self.packed(pairs))
        return groups

    def tries(self, sample: Any, draws: int) -> list[tuple[int, ...]]:
        answer = held(self.answers[sample["target"]])
        of = (self.args.seed, "latent", self.state.global_step, sample["sample_id"])
        return [answer, *(Tried(answer, seed_for(*of, place)) for place in range(1, draws))]

    def packed(self, pairs: Sequence[Pair]) -> list[Row]:
        return rows_of(pairs, partial(tried, sigma=self.sigma))

    @property
    def sigma(self) -> float:
        rollout = self.algorithm.rollout
        assert isinstance(rollout, Latent)
        return rollout.sigma
