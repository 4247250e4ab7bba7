"""What preference losses compare: scores of whole completions."""

from typing import TYPE_CHECKING, Literal

from mllmrec.algorithm.batch import Batch, Rows

if TYPE_CHECKING:
    from torch import Tensor

Divisor = Literal["length", "weight_sum"]


def average(rows: Rows, by: Divisor) -> "Tensor":
    """ℓ̄_w = Σ_t w_t log π(y_t) / |y|, or over Σ_t w_t, (N,), in nats a token."""
    parts = rows.lengths if by == "length" else rows.weights.sum(1)
    logps = rows.logps.masked_fill(rows.mask == 0, 0.0)
    return (rows.weights * logps).sum(1) / parts.where(parts > 0, parts.new_ones(()))


def log_ratio(rows: Rows) -> "Tensor":
    """Σ_t w_t (log π(y_t) − log π_ref(y_t)), (N,), in nats."""
    assert rows.ref is not None, "asked for by needs_reference"
    return (rows.weights * (rows.logps - rows.ref).masked_fill(rows.mask == 0, 0.0)).sum(1)


def told(batch: Batch, part: str, margins: "Tensor") -> None:
    """Chart how far the better completion of a pair is ahead, and how often it is."""
    margins = margins.detach()
    batch.charts[f"auxiliary/{part}/margin"] = float(margins.mean())
    batch.charts[f"auxiliary/{part}/accuracy"] = float((margins > 0).float().mean())
