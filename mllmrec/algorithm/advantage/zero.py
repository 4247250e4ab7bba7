"""No row is better than another: what is learnt is an auxiliary loss alone."""

from typing import TYPE_CHECKING

from mllmrec.algorithm.base import Advantage
from mllmrec.algorithm.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor


class Zero(Advantage):
    """A_i = 0, so that nothing but the KL term is left of the policy loss. Our definition."""

    def __call__(self, batch: Batch) -> "Tensor":
        return batch.rewards.new_zeros(len(batch))
