"""How well the target's answer is expected under each condition: no draws of answers needed."""

from typing import TYPE_CHECKING, Literal

from mllmrec.algorithm.base import GroupReward
from mllmrec.algorithm.batch import Batch
from mllmrec.errors import Refusal

if TYPE_CHECKING:
    from torch import Tensor

    from mllmrec.schema import Config


class Perplexity(GroupReward):
    """s = −PPL(y*) = −exp(−mean_t log π(y*_t)) (``neg_ppl``), or mean_t log π(y*_t) (``logp``).

    Each row has the target's answer under a condition of its own, so it goes with
    ``rollout=latent`` alone; the mean is over the answer's tokens, its end of turn included, under
    the policy as it stands when the step begins. LatentR3, arXiv 2505.19092 (``neg_ppl``).
    """

    form: Literal["neg_ppl", "logp"]

    def __call__(self, batch: Batch) -> "Tensor":
        mean = batch.sums / batch.mask.sum(1).clamp(min=1)
        return mean if self.form == "logp" else -(-mean).exp()

    def check(self, config: "Config") -> None:
        if (name := config.algorithm.rollout.name) != "latent":
            raise Refusal(
                f"algorithm.group_reward.perplexity: rollout={name} draws other answers",
                allowed="rollout=latent, whose rows are the target's answer",
                do="type algorithm=latent_r3, or leave perplexity out of algorithm/group_reward",
            )
