"""What policy losses share: ratios by token, and how losses of tokens become one number."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.algorithm.batch import Rows, Terms

Averaging = Literal["sequence", "token", "constant"]


def log_ratios(rows: "Rows") -> "Tensor":
    """log r = log π − log π_old by token, (N, T), with gradients; 0 behind the end."""
    return (rows.logps - rows.old).masked_fill(rows.mask == 0, 0.0)


def averaged(values: "Tensor", mask: "Tensor", averaging: Averaging, longest: int) -> "Tensor":
    """One number of values by token, (N, T); a row without tokens, or no row at all, gives 0.

    ``sequence``: 1/N Σ_i 1/|o_i| Σ_t (GRPO, arXiv 2402.03300); ``token``: Σ_i Σ_t / Σ_i |o_i|
    (DAPO, arXiv 2503.14476); ``constant``: Σ_i Σ_t / (N · longest) (Dr. GRPO, arXiv 2503.20783).
    |o_i| are tokens, whatever they weigh: weights below 1 are to make a loss smaller.
    """
    sums, rows = (values * mask).sum(1), max(len(mask), 1)
    if averaging == "sequence":
        return (sums / mask.sum(1).clamp(min=1)).sum() / rows
    if averaging == "token":
        return sums.sum() / mask.sum().clamp(min=1)
    return sums.sum() / (rows * longest)


def total(terms: "Terms", surrogate: "Tensor", averaging: Averaging) -> "Tensor":
    """The loss: token weight × surrogate, (B, T) or (B, 1), + β · KL by token, averaged."""
    values = surrogate * terms.rows.weights
    if terms.kl is not None:
        values = values + terms.beta * terms.kl
    return averaged(values, terms.rows.mask, averaging, terms.longest)


def share(found: "Tensor", mask: "Tensor") -> float:
    """The share of tokens for which something, (B, T) or (B, 1), is true; 0 where there is none."""
    return float((found * mask).sum() / mask.sum().clamp(min=1))
