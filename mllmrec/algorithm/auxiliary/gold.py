"""The target's answer as a sample of somebody else's policy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mllmrec.algorithm.base import Auxiliary
from mllmrec.algorithm.batch import Batch, Rows, Terms, Tokens

if TYPE_CHECKING:
    from torch import Tensor


class Gold(Auxiliary):
    """L = −mean of r A^c over the tokens of e, the answer of each prompt's target.

        r   = 2 π_θ / (π_ω + π_old) with π_ω = (π_old + 1) / 2, so 2 π_θ / (1.5 π_old + 0.5) ≤ 4
        A^c = A_e (1 − sg[π_θ])^γ,   A_e = R_e − mean R

    R_e is what ``reward=`` pays for the target's answer (1 under ``reward=[hit]``), the mean is
    over the group's rows; ``scale=group`` divides A_e by their std + 1e-4 where they are not all
    paid the same. ``omega=none`` is the plain ratio π_θ / π_old. Nothing is clipped. RL-PLUS, arXiv
    2508.00222, and its public code. ``normalise_by=tokens`` divides by the tokens of all answers,
    ``constant`` by the longest completion and the number of prompts. A prompt all of whose rows
    were dropped takes no part.

    The gradient by log π_θ is r A^c: about 4 π_θ A_e where π_θ is small, so that an item which the
    policy finds very improbable gets almost no push; ``auxiliary/gold/gradient`` charts its mean.
    """

    gamma: Annotated[float, Field(ge=0)]
    omega: Literal["uniform_mix", "none"]
    scale: Literal["group", "none"]
    normalise_by: Literal["tokens", "constant"]

    def others(self, batch: Batch) -> Sequence[tuple[int, Tokens]]:
        answers = batch.context.answers
        return [(n, answers[sample.target]) for n, sample in enumerate(batch.samples)]

    def __call__(self, terms: Terms, others: Rows | None) -> "Tensor":
        assert others is not None
        probs = others.logps.exp()
        if self.omega == "none":
            ratio = (others.logps - others.old).exp()
        else:
            ratio = 2 * probs / (1.5 * others.old.exp() + 0.5)
        advantage = self.advantage(terms.batch).to(probs)[others.owner]
        shaped = advantage[:, None] * (1 - probs.detach()).clamp(min=0) ** self.gamma
        pushes = ratio * shaped * others.weights
        tokens = others.mask.sum()
        terms.batch.charts.update(
            {
                "auxiliary/gold/probability": ((probs * others.mask).sum() / tokens).item(),
                "auxiliary/gold/gradient": (pushes.sum() / tokens).item(),
                "auxiliary/gold/advantage": advantage.mean().item(),
            }
        )
        by = tokens if self.normalise_by == "tokens" else len(others.owner) * terms.longest
        return -pushes.sum() / by

    def advantage(self, batch: Batch) -> "Tensor":
        """A_e of each prompt, (P,)."""
        pay, answers = batch.context.pay, batch.context.answers
        paid = [pay(sample, answers[sample.target]) for sample in batch.samples]
        found = batch.rewards.new_tensor(paid) - batch.mean(batch.rewards)
        if self.scale == "group":
            rewards = batch.rewards.tolist()
            spread = [len({rewards[row] for row in rows}) > 1 for rows in batch.groups]
            told = batch.owner.new_tensor(spread).bool()
            found = found / (batch.std(batch.rewards) + 1e-4).where(told, found.new_ones(()))
        return found * (batch.sizes > 0)
