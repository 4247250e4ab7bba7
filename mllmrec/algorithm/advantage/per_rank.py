"""An advantage for every rank of a list, beside what others of the group have there."""

from math import log2
from typing import TYPE_CHECKING, Literal

from mllmrec.algorithm.base import Advantage
from mllmrec.algorithm.batch import Batch, Sample, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

EPSILON = 1e-4  # TRL's: where all returns of a rank are equal


class PerRank(Advantage):
    """A_{i,k} = (R_{i,k} − mean_i R_{i,k})/(std_i R_{i,k} + 1e-4) for the item at rank k of list i.

    R_{i,k} is 1 where the target stands at rank k (``hit``), or Σ_{j≥k} hit_j/log2(j + 1), what the
    list still earns from there on (``dcg``). A target that is named again earns nothing. Mean and
    unbiased std are over the lists of the group that have a rank k. Every token of the item has
    its advantage, others have 0; (B, T). The rewards of ``reward=`` are charted, and of no effect.
    Rank-GRPO (ConvRec-R1); an answer of one item is a list of one.
    """

    returns: Literal["hit", "dcg"]

    def __call__(self, batch: Batch) -> "Tensor":
        import torch

        made = torch.zeros_like(batch.mask)
        for sample, rows in zip(batch.samples, batch.groups, strict=True):
            earned = [self.earned(batch.spans[row], sample) for row in rows]
            for k in range(max(map(len, earned), default=0)):
                having = [i for i, these in enumerate(earned) if len(these) > k]
                found = made.new_tensor([earned[i][k] for i in having], dtype=torch.float64)
                apart = found - found.mean()
                spread = apart.norm() / max(1, len(having) - 1) ** 0.5
                values = apart / (spread + EPSILON)
                for i, value in zip(having, values.tolist(), strict=True):
                    _, start, stop = batch.spans[rows[i]][k]
                    made[rows[i], start:stop] = value
        return made * batch.mask

    def earned(self, spans: "Sequence[Span]", sample: Sample) -> list[float]:
        """The return of each rank of a list."""
        items = [item for item, _, _ in spans]
        rank = items.index(sample.target) if sample.target in items else len(items)
        if self.returns == "hit":
            return [float(k == rank) for k in range(len(items))]
        return [1 / log2(rank + 2) if k <= rank < len(items) else 0.0 for k in range(len(items))]
