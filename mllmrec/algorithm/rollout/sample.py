"""Answers written token by token."""

from typing import Annotated, Literal

from pydantic import Field

from mllmrec.algorithm.base import Rollout


class Sample(Rollout):
    """G independent draws, token by token: anything, or what leads on to a candidate.

    ``top_p`` below 1 cuts the sampler's distribution: it is then not the policy that the loss
    assumes. GRPO, arXiv 2402.03300.
    """

    constraint: Literal["token"] | None
    temperature: Annotated[float, Field(gt=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]

    @property
    def draws_candidates(self) -> bool:
        return bool(self.constraint)
