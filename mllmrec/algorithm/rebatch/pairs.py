"""Rollouts in pairs, the best of a group with its worst: those apart most are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mllmrec.algorithm.base import Rebatch
from mllmrec.algorithm.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor


class Pairs(Rebatch):
    """Pairwise trajectory sampling: of a group sorted by advantage the i-th best row is paired with
    the i-th worst, and of N pairs the first ⌊keep · N⌋ stay, one at least.

    The first pairs are those of the largest contrast A⁺ − A⁻. Advantages are those of the whole
    group. Shuffle-R1, arXiv 2508.05612. A middle row has no partner and goes, and so do, with
    ``cap_contrast``, pairs without contrast (our definition): of G binary rewards with h hits at
    most min(h, G − h) pairs have any. Where none would be left in the whole step it stays as it is.

    Advantages 2, −1, 0, −2, 1, 0: pairs (2, −2), (1, −1), (0, 0); with keep = 0.5 the first stays.
    """

    keep: Annotated[float, Field(gt=0, le=1)]
    cap_contrast: bool

    def __call__(self, batch: Batch) -> Batch:
        found, flat = paired(batch), 0
        kept: list[tuple[int, int]] = []
        for group in found.groups:
            few = group[: max(1, int(self.keep * len(group) + 1e-9))]
            apart = [p for p in few if found.values[p[0]] > found.values[p[1]]]
            flat += len(few) - len(apart)
            kept += apart if self.cap_contrast else few
        rows = sorted(row for pair in kept for row in pair)
        made = batch.take(rows) if rows else batch
        batch.charts.update(
            {
                "rebatch/pairs/kept": len(made) / len(batch),
                "rebatch/pairs/without_partner": float(found.left),
                "rebatch/pairs/without_contrast": float(flat),
                "rebatch/pairs/none_left": float(not rows),
            }
        )
        return made


@dataclass(frozen=True, kw_only=True)
class Paired:
    """``groups`` have the pairs (better row, worse row) of each prompt, the most apart first.

    ``values`` is the advantage of each row, ``left`` the number of rows without a partner.
    """

    groups: Sequence[Sequence[tuple[int, int]]]
    values: Sequence[float]
    left: int


def paired(batch: Batch) -> Paired:
    """The pairs of every group; rows of equal advantage go by their place.

    What is left of a group after some of its pairs were dropped is paired as it was before.
    """
    values = by_row(batch).tolist()
    groups = []
    for rows in batch.groups:
        order = sorted(rows, key=lambda row: -values[row])
        half = len(order) // 2
        groups.append([*zip(order[:half], reversed(order[len(order) - half :]), strict=True)])
    left = sum(len(rows) % 2 for rows in batch.groups)
    return Paired(groups=groups, values=values, left=left)


def by_row(batch: Batch) -> "Tensor":
    """The advantage of each row, (B,): of one by token the mean over its tokens."""
    found = batch.advantages
    if found.dim() == 1:
        return found
    return (found * batch.mask).sum(1) / batch.mask.sum(1).clamp(min=1)
