"""The expected reward over the candidates, without drawing any."""

from typing import Annotated, Any, Literal

from pydantic import Field

from mllmrec.algorithm.base import Algorithm


class Exact(Algorithm):
    """J = Σ_y q(y) A(y) − β KL(q ‖ q_ref), over all candidates y of a prompt.

    q is the policy held to the candidates (``constraint``), A = R − Σ q R, divided by the std of R
    under q if ``scale_rewards`` says so (both without gradients). It is what GRPO's estimate tends
    to as groups grow, at the price of one pass; its KL term is exact too.
    """

    rollout: Literal["exact"]
    scale_rewards: Literal["group", "none"]
    temperature: Annotated[float, Field(gt=0)]

    def trainer_args(self) -> dict[str, Any]:
        return {"temperature": self.temperature}
