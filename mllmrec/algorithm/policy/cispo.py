"""CISPO: the weight of a token is clipped, and no token loses its gradient."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from mllmrec.algorithm.base import PolicyLoss
from mllmrec.algorithm.policy.base import log_ratios, share, total

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.algorithm.batch import Terms


class Cispo(PolicyLoss):
    """−sg[min(r, ε_max)] A log π + β KL by token, the mean over all tokens of the step.

    r = π/π_old of the token; sg: without gradients. ``epsilon_high`` is ε_max itself, not its
    distance from 1, as in TRL. MiniMax-M1, arXiv 2506.13585. Charts ``clip/high``, the share of
    tokens with r > ε_max and A > 0.
    """

    epsilon_high: Annotated[float, Field(ge=1)]

    def __call__(self, terms: "Terms") -> "Tensor":
        rows, advantages = terms.rows, terms.advantages
        ratio = log_ratios(rows).exp().detach()
        clipped = (ratio > self.epsilon_high) & (advantages > 0)
        terms.batch.charts["clip/high"] = share(clipped, rows.mask)
        logps = rows.logps.masked_fill(rows.mask == 0, 0.0)
        return total(terms, -ratio.clamp(max=self.epsilon_high) * advantages * logps, "token")

    def trl(self) -> dict[str, Any] | None:
        return {
            "loss_type": "cispo",
            "importance_sampling_level": "token",
            "epsilon_high": self.epsilon_high,
            "delta": None,
        }
