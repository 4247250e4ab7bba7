"""Prompts that teach nothing make room for others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from mllmrec.algorithm.base import Group, Place
from mllmrec.algorithm.batch import Batch, joined


class Dynamic(Group):
    """Dynamic sampling: groups whose rewards are all equal are dropped, other prompts drawn.

    As many prompts are drawn as are missing, until P groups with a signal are there or
    ``max_rounds`` rounds are over; then the step has fewer (``group/dynamic/missing``). Where no
    group has a signal, the step keeps its own prompts: all that they teach is the KL term. DAPO,
    arXiv 2503.14476; that rounds are bounded, and what is done then, is our definition.

    P(no signal) = (1 − p)^G + p^G for a binary reward of probability p: 0.66 for p = 0.05, G = 8.
    """

    draws_more: ClassVar[bool] = True
    place: ClassVar[Place] = ("first", "draws prompts that have not gone through {others}")

    max_rounds: Annotated[int, Field(ge=1)]

    def __call__(self, batch: Batch) -> Batch:
        wanted = drawn = len(batch.samples)
        found = signalling(batch)
        kept = [of_prompts(batch, found)] if found else []
        missing, rounds = wanted - len(found), 0
        while missing and rounds < self.max_rounds:
            rounds += 1
            other = batch.context.more(missing, rounds)
            drawn += len(other.samples)
            if found := signalling(other)[:missing]:
                kept.append(of_prompts(other, found))
                missing -= len(found)
        made = replace(joined(kept), charts=batch.charts) if kept else batch
        batch.charts.update(
            {
                "group/dynamic/rounds": float(rounds),
                "group/dynamic/drawn": float(drawn),
                "group/dynamic/dropped": 1 - (wanted - missing) / drawn,
                "group/dynamic/missing": float(missing),
                "group/dynamic/no_signal_at_all": float(not kept),
            }
        )
        return made


def signalling(batch: Batch) -> list[int]:
    """The prompts whose rows are not all paid the same."""
    paid = batch.rewards.tolist()
    return [n for n, rows in enumerate(batch.groups) if len({paid[row] for row in rows}) > 1]


def of_prompts(batch: Batch, prompts: Sequence[int]) -> Batch:
    """These prompts and their rows alone."""
    groups = batch.groups
    rows = [row for prompt in prompts for row in groups[prompt]]
    owner = [place for place, prompt in enumerate(prompts) for _ in groups[prompt]]
    return replace(
        batch.take(rows),
        samples=[batch.samples[prompt] for prompt in prompts],
        owner=batch.owner.new_tensor(owner),
    )
