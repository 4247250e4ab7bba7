"""What every reward is: a small pure callable with a weight."""

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
