"""KL-Cov: no clipping, and a brake on the few tokens that sharpen the policy most."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mllmrec.algorithm.base import PolicyLoss
from mllmrec.algorithm.policy.base import Averaging, log_ratios, total

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.algorithm.batch import Rows, Terms


class KlCov(PolicyLoss):
    """−A r by token; + c |log π − log π_anchor| on the k of largest covariance; + β KL; averaged.

    cov_t = (A_t − mean A) (log π_t − mean log π), without gradients, over the N tokens of the step
    whose weight is above 0; k = max(1, ⌊N · ``ratio``⌋); among equals the first; c is
    ``coefficient``. KL-Cov, arXiv 2505.22617, in the form of verl, whose anchor is the sampler
    (``old``); in RISER (2602.00632) the brake is that of GRPO's KL, aimed at few tokens: ``ref``.
    A sampler that is the policy (``grpo.num_iterations=1``) makes ``old`` a brake of exactly 0.
    Averages are those of ``mllmrec/algorithm/policy/base.py``. Charts ``kl_cov/tokens``, k, and
    ``kl_cov/distance``, the mean of |log π − log π_anchor| on these.
    """

    ratio: Annotated[float, Field(gt=0, le=1)]
    coefficient: Annotated[float, Field(gt=0)]
    anchor: Literal["ref", "old"]
    averaging: Averaging

    @property
    def needs_reference(self) -> bool:
        return self.anchor == "ref"

    def __call__(self, terms: "Terms") -> "Tensor":
        rows, charts = terms.rows, terms.batch.charts
        advantages = terms.advantages.expand_as(rows.logps)
        logs = log_ratios(rows)
        if self.anchor == "ref":
            assert rows.ref is not None, "asked for by needs_reference"
            distance = (rows.logps - rows.ref).masked_fill(rows.mask == 0, 0.0).abs()
        else:
            distance = logs.abs()
        chosen = self.chosen(rows, advantages)
        charts["kl_cov/tokens"] = float(chosen.sum())
        braked = (distance.detach() * chosen).sum()
        charts["kl_cov/distance"] = float(braked / chosen.sum().clamp(min=1))
        surrogate = -advantages * logs.exp() + self.coefficient * chosen * distance
        return total(terms, surrogate, self.averaging)

    def chosen(self, rows: "Rows", advantages: "Tensor") -> "Tensor":
        """1 on the tokens of the largest covariance, (B, T)."""
        counted = rows.weights > 0
        logps, gains = rows.logps.detach()[counted], advantages[counted]
        covariances = (gains - gains.mean()) * (logps - logps.mean())
        most = max(1, int(len(logps) * self.ratio))
        order = covariances.argsort(descending=True, stable=True)[:most]
        found = rows.mask.new_zeros(rows.mask.numel())
        found[counted.flatten().nonzero()[:, 0][order]] = 1
        return found.view(rows.mask.shape)
