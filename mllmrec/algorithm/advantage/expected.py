"""Rewards beside what the policy expects of its candidates."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mllmrec.algorithm.base import Advantage

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.algorithm.batch import Batch


class Expected(Advantage):
    """A(y) = R(y) − Σ q R over all candidates of a prompt, q being ``batch.chance``; (B,).

    ``scale=group`` divides by √(Σ q A²) + ε, the standard deviation of R under q. Our definition.
    """

    scale: Literal["group", "none"]
    epsilon: Annotated[float, Field(gt=0)]

    def __call__(self, batch: "Batch") -> "Tensor":
        assert batch.chance is not None, "rollout=exhaust gives the probabilities of candidates"
        q = batch.chance.to(batch.rewards)
        found = batch.rewards - batch.total(q * batch.rewards)[batch.owner]
        if self.scale == "group":
            found = found / (batch.total(q * found**2).sqrt()[batch.owner] + self.epsilon)
        return found
