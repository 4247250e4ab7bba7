"""Rewards centred over the whole batch and divided by their length as a vector."""

from typing import TYPE_CHECKING, Literal

from mllmrec.algorithm.base import Advantage
from mllmrec.algorithm.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-6  # as in LatentR3's code: where all rewards are equal


class BatchNorm(Advantage):
    """A = (s − s̄)/(‖s − s̄‖₂ + 1e-6) over all B rows; (B,).

    s̄ is the mean reward of the ``batch``, or of the ``plain`` rows, the first of each group (for
    ``rollout=latent`` those without noise, as LatentR3's code has it). A group that all fail has a
    signal too where others do not. Mean |A| shrinks as 1/√B: the learning rate is to be chosen anew
    when the batch or the group changes. LatentR3, arXiv 2505.19092.
    """

    baseline: Literal["batch", "plain"]

    def __call__(self, batch: Batch) -> "Tensor":
        kept = batch.rewards
        if self.baseline == "plain":
            kept = kept[[rows[0] for rows in batch.groups if rows]]
        apart = batch.rewards - kept.mean()
        return apart / (apart.norm() + EPSILON)
