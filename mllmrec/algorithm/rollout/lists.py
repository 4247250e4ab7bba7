"""Lists of items, written token by token."""

from typing import Annotated, Literal

from pydantic import Field

from mllmrec.algorithm.base import Constraint, Rollout


class Lists(Rollout):
    """G independent lists of K different candidates, one a line, the prompt asking for so many.

    Each token is drawn among those that lead on: a line to a candidate that is not named yet,
    behind it a newline, behind the last the end of turn. What a list is paid by ``reward=`` is that
    of its first line, as of any other text; ``advantage=per_rank`` looks at every rank. Newlines
    are tokens of their own here, even where a tokenizer would join them to what precedes: our
    definition. After Rank-GRPO (ConvRec-R1), arXiv 2510.20150, which writes lists freely.
    """

    constraint: Literal["token"] | None
    temperature: Annotated[float, Field(gt=0)]
    items: Annotated[int, Field(ge=2)]

    @property
    def held(self) -> Constraint | None:
        return "token"
