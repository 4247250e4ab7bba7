"""Rewards beside those of the same prompt, or of the step, and over their spread."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mllmrec.algorithm.base import Advantage
from mllmrec.errors import Refusal

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.algorithm.batch import Batch
    from mllmrec.schema import Config

TRL_EPSILON = 1e-4  # written into TRL's trainer
GROUPED = ("group", "leave_one_out")


class Standardised(Advantage):
    """A_i = (R_i − b_i) / (σ + ε), σ the unbiased standard deviation.

    ``center`` says what b_i is: ``group``, the mean of its group (GRPO, arXiv 2402.03300);
    ``leave_one_out``, that of the others of its group (RLOO, arXiv 2402.14740; 0 for a row alone);
    ``batch``, the mean of all rows; ``none``, 0. ``scale`` says what is divided by: σ of its
    ``group``, of the whole ``batch`` (Lite-PPO, arXiv 2508.08221), or ``none`` (Dr. GRPO, arXiv
    2503.20783: no division, and no ε). Groups may differ in size. (B,).
    """

    center: Literal["group", "leave_one_out", "batch", "none"]
    scale: Literal["group", "batch", "none"]
    epsilon: Annotated[float, Field(gt=0)]

    def check(self, config: "Config") -> None:
        """Where σ = 0 centred rewards must be 0 too, or advantages are R / ε."""
        kept = {"group": GROUPED, "batch": (*GROUPED, "batch"), "none": (self.center,)}[self.scale]
        if self.center not in kept:
            raise Refusal(
                f"algorithm.advantage.center={self.center}: with scale={self.scale}, equal rewards"
                " are divided by next to nothing",
                allowed=f"center={' or '.join(kept)} with scale={self.scale}",
                do="type algorithm.advantage.scale=none, or algorithm.advantage.center=group",
            )

    def __call__(self, batch: "Batch") -> "Tensor":
        rewards = batch.rewards
        if self.center in GROUPED:
            found = rewards - batch.mean(rewards)[batch.owner]
        else:
            found = rewards - rewards.mean() if self.center == "batch" else rewards.clone()
        if self.center == "leave_one_out":  # R − (n mean − R) / (n − 1) = (R − mean) n / (n − 1)
            sizes = batch.total(batch.counts)[batch.owner]
            found = found * sizes / (sizes - 1).clamp(min=1)
        if self.scale == "group":
            found = found / (batch.std(rewards)[batch.owner] + self.epsilon)
        elif self.scale == "batch" and len(batch) > 1:
            found = found / (rewards.std() + self.epsilon)
        return found

    def trl(self) -> dict[str, Any]:
        if self.center != "group" or (self.scale != "none" and self.epsilon != TRL_EPSILON):
            return {}
        return {"scale_rewards": self.scale}
