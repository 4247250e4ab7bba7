"""Estimates of a KL divergence by token; the references that they are taken against differ."""

from typing import TYPE_CHECKING, Any, Literal

from mllmrec.algorithm.base import Kl

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.algorithm.batch import Rows


class Estimated(Kl):
    """KL(π ‖ π_ref) by token, from tokens that were drawn: with Δ = log π_ref − log π,

    ``k1`` = −Δ, ``k2`` = Δ²/2, ``k3`` = e^Δ − Δ − 1 (Schulman, joschu.net/blog/kl-approx.html). As
    a loss k1 has a gradient of mean 0 on tokens that π drew, and so holds nothing;
    ``bias_correction`` multiplies by r = π/π_old of the token, with its gradient, upon which k1 and
    k3 have the gradient of the KL itself in expectation (DeepSeek-V3.2, arXiv 2512.02556; TRL's
    ``use_bias_correction_kl``, which takes the sequence's r where the loss does).
    """

    estimator: Literal["k1", "k2", "k3"]
    bias_correction: bool

    def __call__(self, rows: "Rows") -> "Tensor":
        import torch

        assert rows.ref is not None, "β > 0 has the trainer score rows by the reference"
        behind = rows.mask == 0
        delta = (rows.ref - rows.logps).masked_fill(behind, 0.0)
        estimates = {
            "k1": lambda: -delta,
            "k2": lambda: delta**2 / 2,
            "k3": lambda: torch.expm1(delta) - delta,
        }
        found = estimates[self.estimator]()
        if self.bias_correction:
            found = found * (rows.logps - rows.old).masked_fill(behind, 0.0).exp()
        return found

    def trl(self) -> dict[str, Any]:
        if self.estimator != "k3":
            return {}
        return {"use_bias_correction_kl": self.bias_correction}
