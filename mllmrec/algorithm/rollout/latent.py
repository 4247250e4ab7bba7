"""The target's answer under noise on its prompt."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mllmrec.algorithm.base import Rollout
from mllmrec.errors import Refusal

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Latent(Rollout):
    """G tries of the target's answer, each with its own noise on the prompt's last token.

    The input embedding e of that token becomes e + ε, ε ~ N(0, (σ·rms(e))² I); the first try of a
    group has none. No answer is drawn: what differs is the condition, and with
    ``group_reward=[perplexity]`` those are rewarded under which the answer is likelier. The loss is
    of the answer's tokens under the same noise.

    After LatentR3, arXiv 2505.19092, where ε is added to a latent thought: the output of an
    attention layer over the last hidden states, which is fed behind the prompt. Left out are that
    layer and its own SFT, the LLM that is frozen while the layer alone learns (here an adapter
    learns), and the thought at inference. So there is no thought, and its noise on the prompt's
    last token, relative to the embedding's size, is our definition (its σ is 1.5, absolute).

    Every row is the right answer, so one whose reward is below the baseline makes the right answer
    less likely; with a baseline of the whole batch those are the rows of hard prompts. On the toy
    data the targets' mean perplexity grew by it: watch ``rewards/perplexity/mean``.
    """

    constraint: None
    temperature: Annotated[float, Field(gt=0)]
    sigma: Annotated[float, Field(gt=0)]

    def check(self, config: "Config") -> None:
        if config.parallel.sharding:
            raise Refusal(
                "algorithm/rollout=latent: embeddings that are spread over processes take no noise",
                allowed="processes that hold all weights each",
                do="type parallel=ddp, or another algorithm",
            )
