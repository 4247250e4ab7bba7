"""A preference for the target over what was rolled out, in groups that have no hit."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mllmrec.algorithm.auxiliary.scores import Divisor, average, log_ratio, told
from mllmrec.algorithm.base import Auxiliary
from mllmrec.algorithm.batch import Batch, Rows, Terms, Tokens

if TYPE_CHECKING:
    from torch import Tensor

# Knobs that a loss has no use for.
IDLE = {"simpo": (), "dpo": ("gamma", "normalise"), "nll": ("beta", "gamma", "pairs")}


class FailGroups(Auxiliary):
    """(1/P) Σ over groups without a hit of the mean over pairs (y⁺ = y*, y⁻ = o_i) of a loss.

    | ``loss`` | of a pair |
    |----------|-----------|
    | simpo    | −log σ(β (ℓ̄_w(y⁺) − ℓ̄_w(y⁻)) − γ) |
    | dpo      | −log σ(β (Δ(y⁺) − Δ(y⁻))), Δ(y) = Σ_t w_t (log π(y_t) − log π_ref(y_t)) |
    | nll      | −ℓ̄_w(y⁺): misses do not matter |

    ℓ̄_w(y) = Σ_t w_t log π(y_t) / |y| (``normalise=length``) or over Σ_t w_t (``weight_sum``).
    ``pairs``: every row, each distinct completion once, or the miss of the highest score alone.
    RISER, arXiv 2602.00632; SimPO, 2405.14734; DPO, 2305.18290. P counts all prompts of the step.
    """

    loss: Literal["simpo", "dpo", "nll"]
    beta: Annotated[float, Field(gt=0)]
    gamma: Annotated[float, Field(ge=0)]
    pairs: Literal["all", "unique", "hardest"]
    normalise: Divisor

    @property
    def needs_reference(self) -> bool:
        return self.loss == "dpo"

    def knobs(self) -> dict[str, Any]:
        found = super().knobs()
        return {name: found[name] for name in found if name not in IDLE[self.loss]}

    def failing(self, batch: Batch) -> list[int]:
        """The prompts that have rows, and no hit among them."""
        hits = batch.total(batch.hits.to(batch.rewards.dtype))
        return ((hits == 0) & (batch.sizes > 0)).nonzero()[:, 0].tolist()

    def others(self, batch: Batch) -> Sequence[tuple[int, Tokens]]:
        answers, samples = batch.context.answers, batch.samples
        return [(group, answers[samples[group].target]) for group in self.failing(batch)]

    def __call__(self, terms: Terms, others: Rows | None) -> "Tensor":
        from torch.nn.functional import logsigmoid

        batch = terms.batch
        batch.charts["auxiliary/fail_groups/share"] = len(self.failing(batch)) / len(batch.samples)
        if others is None:
            return terms.rows.logps.new_zeros(())
        misses, golds = self.scores(terms.rows), self.scores(others)
        pairs = self.paired(batch, others.owner.tolist(), misses)
        margins = golds[[place for place, _, _ in pairs]] - misses[[row for _, row, _ in pairs]]
        told(batch, "fail_groups", margins)
        if self.loss == "nll":
            return -golds.sum() / len(batch.samples)
        gamma = self.gamma if self.loss == "simpo" else 0.0
        shares = margins.new_tensor([share for _, _, share in pairs])
        return -(logsigmoid(self.beta * margins - gamma) * shares).sum() / len(batch.samples)

    def scores(self, rows: Rows) -> "Tensor":
        return log_ratio(rows) if self.loss == "dpo" else average(rows, self.normalise)

    def paired(
        self, batch: Batch, failing: Sequence[int], misses: "Tensor"
    ) -> list[tuple[int, int, float]]:
        """Of each pair: the place of its target, its row, its share in the mean of its group."""
        groups, values = batch.groups, misses.tolist()
        found = []
        for place, group in enumerate(failing):
            rows = groups[group]
            if self.pairs == "unique":
                first = {batch.completions[row]: row for row in reversed(rows)}
                rows = sorted(first.values())
            elif self.pairs == "hardest":
                rows = [max(rows, key=values.__getitem__)]
            found += [(place, row, 1 / len(rows)) for row in rows]
        return found
