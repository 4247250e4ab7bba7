"""The clipped surrogate of PPO, by token, by sequence or by item."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mllmrec.algorithm.base import PolicyLoss
from mllmrec.algorithm.policy.base import Averaging, log_ratios, share, total
from mllmrec.errors import Refusal

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.algorithm.batch import Terms
    from mllmrec.schema import Config

LOSS_TYPES = {"sequence": "grpo", "token": "dapo", "constant": "dr_grpo"}  # TRL's names


class Clip(PolicyLoss):
    """−min(r A, clip(r, 1 − ε, 1 + ε_high) A) + β KL by token, averaged as ``averaging`` says.

    ``level`` is that of r: ``token``, π/π_old of each (PPO, arXiv 1707.06347; GRPO, arXiv
    2402.03300); ``sequence``, exp(mean of log r over the completion) (GSPO, arXiv 2507.18071);
    ``item``, the same over the tokens of each item (Rank-GRPO, arXiv 2510.20150), where a token of
    no item has its own r (our definition). ``delta`` bounds r where A < 0 too: min(r, δ) A
    (two-sided clipping, INTELLECT-2, arXiv 2505.07291). Averages are those of
    ``mllmrec/algorithm/policy/base.py``. Charts ``clip/low`` and ``clip/high``, the shares of
    tokens that have no gradient because r is low and A < 0, or high and A > 0, and ``clip/delta``.
    """

    level: Literal["token", "sequence", "item"]
    epsilon: Annotated[float, Field(gt=0, le=1)]
    epsilon_high: Annotated[float, Field(gt=0)]
    delta: Annotated[float, Field(gt=1)] | None
    averaging: Averaging

    def check(self, config: "Config") -> None:
        if self.delta is not None and self.delta <= 1 + self.epsilon_high:
            raise Refusal(
                f"algorithm.policy.delta={self.delta}: not above 1 + epsilon_high, so that"
                f" epsilon_high={self.epsilon_high} would have no effect",
                allowed=f"more than {1 + self.epsilon_high}, or null",
                do="type algorithm.policy.delta=null, or a larger one",
            )

    def __call__(self, terms: "Terms") -> "Tensor":
        import torch

        ratio, advantages, mask = self.log_ratio(terms).exp(), terms.advantages, terms.rows.mask
        low, high = 1 - self.epsilon, 1 + self.epsilon_high
        charts = terms.batch.charts
        charts["clip/low"] = share((ratio < low) & (advantages < 0), mask)
        charts["clip/high"] = share((ratio > high) & (advantages > 0), mask)
        bounded = ratio
        if self.delta is not None:
            bounded = ratio.clamp(max=self.delta)
            charts["clip/delta"] = share((ratio > self.delta) & (advantages < 0), mask)
        gains = torch.min(bounded * advantages, ratio.clamp(low, high) * advantages)
        return total(terms, -gains, self.averaging)

    def log_ratio(self, terms: "Terms") -> "Tensor":
        """(B, T), or (B, 1) for whole sequences."""
        logs, mask = log_ratios(terms.rows), terms.rows.mask
        if self.level == "sequence":
            return logs.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        return logs if self.level == "token" else by_item(terms, logs)

    def trl(self) -> dict[str, Any] | None:
        if self.level == "item":
            return None
        return {
            "loss_type": LOSS_TYPES[self.averaging],
            "importance_sampling_level": self.level,
            "epsilon": self.epsilon,
            "epsilon_high": self.epsilon_high,
            "delta": self.delta,
        }


def by_item(terms: "Terms", logs: "Tensor") -> "Tensor":
    """The mean of a value over the tokens of each item, at each of them, (B, T)."""
    import torch

    wide = logs.shape[1]
    place = torch.arange(logs.numel()).view(logs.shape)  # where the sum of a token's item is kept
    for row, spans in enumerate(terms.batch.spans):
        for item, start, stop in spans:
            if item is None:
                continue
            place[row, start:stop] = row * wide + start
    where = place.flatten().to(logs.device)
    zeros = logs.new_zeros(logs.numel())
    sums = zeros.index_add(0, where, logs.flatten())
    counts = zeros.index_add(0, where, terms.rows.mask.flatten().to(logs))
    return (sums / counts.clamp(min=1))[where].view(logs.shape)
