"""More rollouts than are learnt from: each distinct one first, then repeats."""

from collections import Counter
from dataclasses import replace
from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from mllmrec.algorithm.base import Group
from mllmrec.algorithm.batch import Batch, Tokens


class UniqueFirst(Group):
    """Of m ≥ n rollouts of a prompt, n are kept: distinct completions, then repeats.

    Distinct completions U stand in the order in which they first appeared; the other n − |U| rows
    are repeats in the order in which they were drawn (``refill=repeats``), or are not there
    (``none``: groups become smaller than n). m = ⌈``oversample`` · n⌉. RISER, arXiv 2602.00632.

    What is kept is no independent sample of the policy: the group's mean reward is too high where
    the hit is rare, too low where it is the most probable answer. ``reweight`` mends that, by our
    definition: u, drawn c_u times and kept k_u times, has k_u rows that stand for c_u / k_u draws
    each, so that the group's mean and std are those of all m draws (of the kept ones where more
    than n are distinct). Rows still enter the loss once each.
    """

    oversample: Annotated[float, Field(ge=1)]
    refill: Literal["repeats", "none"]
    reweight: bool

    def drawn(self, wanted: int) -> int:
        return ceil(self.oversample * wanted)

    def __call__(self, batch: Batch) -> Batch:
        kept: list[int] = []
        stood: list[float] = []
        counts, distinct = batch.counts.tolist(), 0
        for rows in batch.groups:
            drawn: dict[Tokens, float] = {}
            first: list[int] = []
            repeats: list[int] = []
            for row in rows:
                completion = batch.completions[row]
                (repeats if completion in drawn else first).append(row)
                drawn[completion] = drawn.get(completion, 0.0) + counts[row]
            order = first + (repeats if self.refill == "repeats" else [])
            order = order[: batch.context.num_generations]
            named = [batch.completions[row] for row in order]
            times = Counter(named)
            kept += order
            stood += [drawn[completion] / times[completion] for completion in named]
            distinct += len(first)
        batch.charts["group/unique_first/unique"] = distinct / max(len(batch.samples), 1)
        batch.charts["group/unique_first/kept"] = len(kept) / max(len(batch), 1)
        found = batch.take(kept)
        if not self.reweight:
            return found
        return replace(found, multiplicity=batch.rewards.new_tensor(stood))
