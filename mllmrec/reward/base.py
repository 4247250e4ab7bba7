"""What every reward is: a small pure callable with a weight; and how several become one."""

from collections.abc import Mapping, Sequence

from mllmrec.schema import Model


class Reward(Model):
    """A number for one answer, from the text that the model wrote and what it was asked."""

    weight: float

    def __call__(
        self, answer: str, *, target: str, candidates: Sequence[str], titles: Mapping[str, str]
    ) -> float:
        """The unweighted pay-off of ``answer``, the whole completion as it was generated.

        ``target`` and ``candidates`` are item ids; ``titles`` are those that the prompt showed.
        """
        raise NotImplementedError


def combine(
    rewards: Mapping[str, Reward],
    answer: str,
    *,
    target: str,
    candidates: Sequence[str],
    titles: Mapping[str, str],
) -> tuple[float, dict[str, float]]:
    """The weighted sum Σ wᵢ·rᵢ, and each part rᵢ by its name, unweighted, for the charts."""
    parts = {
        name: reward(answer, target=target, candidates=candidates, titles=titles)
        for name, reward in rewards.items()
    }
    return sum(rewards[name].weight * part for name, part in parts.items()), parts
