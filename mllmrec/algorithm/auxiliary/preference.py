"""A preference for hits over misses of the same group."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mllmrec.algorithm.auxiliary.scores import log_ratio, told
from mllmrec.algorithm.base import Auxiliary
from mllmrec.algorithm.batch import Batch, Rows, Terms, Tokens

if TYPE_CHECKING:
    from torch import Tensor


class Preference(Auxiliary):
    """−log σ(β (Δ(y⁺) − Δ(y⁻))), the mean over all pairs (y⁺ a hit, y⁻ a miss of its group).

    Δ(y) = Σ_t w_t (log π(y_t) − log π_ref(y_t)). With ``gold`` the answer that names the target
    stands in as the hit of a group that has none. Pairs of all groups are averaged together; a row
    that was drawn twice counts twice. DPO, arXiv 2305.18290; on groups as in ICPRL, 2602.08244.
    """

    beta: Annotated[float, Field(gt=0)]
    gold: bool

    @property
    def needs_reference(self) -> bool:
        return True

    def others(self, batch: Batch) -> Sequence[tuple[int, Tokens]]:
        if not self.gold:
            return ()
        hits, answers = batch.hits.tolist(), batch.context.answers
        return [
            (group, answers[batch.samples[group].target])
            for group, rows in enumerate(batch.groups)
            if rows and not any(hits[row] for row in rows)
        ]

    def __call__(self, terms: Terms, others: Rows | None) -> "Tensor":
        import torch

        batch, scores = terms.batch, log_ratio(terms.rows)
        hits = batch.hits.tolist()
        better = [[row for row in rows if hits[row]] for rows in batch.groups]
        worse = [[row for row in rows if not hits[row]] for rows in batch.groups]
        if others is not None:  # their scores stand behind those of the rows
            scores = torch.cat([scores, log_ratio(others)])
            for place, group in enumerate(others.owner.tolist(), start=len(batch)):
                better[group].append(place)
        groups = [[*product(*both)] for both in zip(better, worse, strict=True)]
        pairs = [pair for group in groups for pair in group]
        batch.charts["auxiliary/preference/share"] = sum(map(bool, groups)) / len(groups)
        batch.charts["auxiliary/preference/pairs"] = len(pairs)
        if not pairs:
            return terms.rows.logps.new_zeros(())
        chosen, rejected = (list(side) for side in zip(*pairs, strict=True))
        margins = scores[chosen] - scores[rejected]
        told(batch, "preference", margins)
        return -torch.nn.functional.logsigmoid(self.beta * margins).mean()
