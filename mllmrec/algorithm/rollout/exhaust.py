"""All candidates of a prompt, each once."""

from typing import Annotated

from pydantic import Field

from mllmrec.algorithm.base import Constraint, Rollout


class Exhaust(Rollout):
    """A group is every candidate y with its probability q(y | x): no draws, so no noise of them.

    ``grpo.num_generations`` has no effect: it is what groups tend to as they grow. Our definition.
    """

    temperature: Annotated[float, Field(gt=0)]

    @property
    def held(self) -> Constraint | None:
        return self.constraint or "token"
