"""Draws from the exact distribution over a prompt's candidates."""

from typing import Annotated

from pydantic import Field

from mllmrec.algorithm.base import Constraint, Rollout


class Enumerate(Rollout):
    """G independent draws from q(y | x), the policy held to the candidates y of its prompt.

    All candidates are scored in one pass over the shared prompt, so nothing is decoded and every
    answer is valid. With ``constraint=sequence`` what it leaves out, the probability of all answers
    together, has no gradient where advantages sum to zero and answers are of one length; with
    ``token`` the loss pushes tokens too that had no alternative. Our definition.
    """

    temperature: Annotated[float, Field(gt=0)]

    @property
    def held(self) -> Constraint | None:
        return self.constraint or "token"

    @property
    def draws_candidates(self) -> bool:
        return True
