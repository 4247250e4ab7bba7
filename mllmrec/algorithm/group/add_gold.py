"""A group that missed its target is shown it."""

from typing import ClassVar

from mllmrec.algorithm.base import Group, Place
from mllmrec.algorithm.batch import Batch


class AddGold(Group):
    """The last row of a group becomes the target's answer, where no row is it.

    With ``only_if_missed=false`` in every group. ReRe's ``add_gt``, arXiv 2510.12211. The row is no
    draw of the policy: its log-probability is the policy's own, so that its ratio is 1 at first,
    and the hit rate of the rollouts is to be read before this. It is paid by ``reward=``; what
    ``algorithm/group_reward`` paid the others stays (in ReRe's code the target is in the group
    before that).
    """

    place: ClassVar[Place] = ("last", "puts in a row that {others} might drop")

    only_if_missed: bool

    def __call__(self, batch: Batch) -> Batch:
        made, put = batch, 0
        hits = batch.hits.tolist()
        answers = batch.context.answers
        for sample, rows in zip(batch.samples, batch.groups, strict=True):
            missed = not any(hits[row] for row in rows)
            wanted = rows and (missed or not self.only_if_missed)
            if wanted and batch.completions[rows[-1]] != tuple(answers[sample.target]):
                made = made.put(rows[-1], sample.target)
                put += 1
        batch.charts["group/add_gold/put"] = put / len(batch.samples)
        return made
