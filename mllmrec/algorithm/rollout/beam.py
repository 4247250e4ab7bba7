"""The most probable candidates, each once."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from mllmrec.algorithm.base import Constraint, Rollout


def one(temperature: float) -> float:
    """The temperature itself; ValueError for any but 1, which alone leaves the beams' order."""
    if temperature != 1:
        raise ValueError(
            "beams are the most probable answers, not draws, so there is none (type 1.0, or draw: "
            "algorithm/rollout=sample or algorithm/rollout=enumerate)"
        )
    return temperature


class Beam(Rollout):
    """The G most probable distinct candidates by a beam search of width G through their trie.

    They are ordered by log π(y | x) under the whole vocabulary, whatever their length; G may not
    be more than the candidates of a prompt, and at that number it is the exact ranking. ReRe,
    arXiv 2510.12211. Beams are no draws of the policy: an importance ratio other than 1 is one in
    name alone, so ``grpo.num_iterations=1`` suits them.

    ``logprob_space`` is that of the log-probabilities in the loss: ``full``, the whole vocabulary,
    as in ReRe's code, where an answer gains also by what tokens lose that no candidate has, or
    ``constrained``, renormalised at each token over those that lead on to a candidate.
    """

    constraint: Literal["token"] | None
    temperature: Annotated[float, AfterValidator(one)]
    logprob_space: Literal["full", "constrained"]

    @property
    def held(self) -> Constraint | None:
        return "token"
