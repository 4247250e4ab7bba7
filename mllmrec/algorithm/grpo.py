"""Group relative policy optimisation (arXiv 2402.03300) and the losses that TRL has of it."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mllmrec.algorithm.base import Algorithm
from mllmrec.errors import Refusal

if TYPE_CHECKING:
    from mllmrec.schema import Config

Unit = Annotated[float, Field(gt=0, le=1)]


class Grpo(Algorithm):
    """A_i = (R_i − mean R) / (std R + 1e-4) within the group of one prompt's rollouts.

    The loss is −min(r A, clip(r, 1 − epsilon, 1 + epsilon_high) A) + β·k3, averaged as
    ``loss_type`` says: ``grpo`` by sequence, ``dapo`` by token over the batch, ``dr_grpo`` by a
    constant.

    ``rollout=enumerate`` draws from the exact distribution over the candidates of the prompt,
    ``sample`` writes answers token by token (anything, or held by ``constraint=token`` to the
    candidates), ``beam`` takes the most probable candidates, each once. The loss is of the
    unconstrained policy in all of them. With ``constraint=sequence`` what that leaves out, the
    probability of all answers together, has no gradient where advantages sum to zero and answers
    are of one length; with ``token`` it pushes tokens too that had no alternative.
    """

    rollout: Literal["enumerate", "sample", "beam"]
    loss_type: Literal["grpo", "dapo", "dr_grpo", "bnpo"]
    scale_rewards: Literal["group", "batch", "none"]
    epsilon: Unit
    epsilon_high: Unit
    temperature: Annotated[float, Field(gt=0)]
    top_p: Unit

    def check(self, config: "Config") -> None:
        plain = {"top_p": 1.0, "temperature": 1.0, "constraint": None}
        suits = {"top_p": ("sample",), "temperature": ("enumerate", "sample")}
        if self.constraint == "sequence":
            suits["constraint"] = ("enumerate",)
        for name, rollouts in suits.items():
            value = getattr(self, name)
            if value != plain[name] and self.rollout not in rollouts:
                only = " or ".join(f"algorithm.rollout={rollout}" for rollout in rollouts)
                default = "null" if plain[name] is None else plain[name]
                raise Refusal(
                    f"algorithm.{name}={value}: algorithm.rollout={self.rollout} has no use for it",
                    allowed=f"with {only}",
                    do=f"type algorithm.{name}={default}, or {only}",
                )

    def trainer_args(self) -> dict[str, Any]:
        return {
            "loss_type": self.loss_type,
            "scale_rewards": self.scale_rewards,
            "epsilon": self.epsilon,
            "epsilon_high": self.epsilon_high,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": 0,
            # the published stack's KL term; TRL's newer default multiplies it by the ratio
            "use_bias_correction_kl": False,
        }
