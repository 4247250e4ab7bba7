"""What is optimised: the composition of rollout, group, advantage and loss."""

from typing import Any, Literal

from mllmrec.schema import Model

Constraint = Literal["token", "sequence"]


class Algorithm(Model):
    """A method of the GRPO family; the stage ``grpo`` says with what effort it is run.

    ``rollout`` says how a group's answers come about, ``constraint`` what holds them to the
    candidates: each token to those that lead on to one (``token``), or whole answers to those
    that are one (``sequence``, q ∝ π(answer)); None is the rollout's own.
    """

    rollout: str
    constraint: Constraint | None

    @property
    def constrained(self) -> Constraint | None:
        """What holds answers to the candidates; None: nothing does."""
        return self.constraint or (None if self.rollout == "sample" else "token")

    def knobs(self) -> dict[str, Any]:
        return {**super().knobs(), "constraint": self.constrained}  # null is one of the others

    def trainer_args(self) -> dict[str, Any]:
        """The fields of TRL's GRPOConfig that make this method."""
        raise NotImplementedError


def draws_candidates(algorithm: Algorithm) -> bool:
    """Whether rollouts are draws among the candidates by their probabilities.

    Not so free answers, beams (the most probable ones), nor all candidates at once (``exact``).
    """
    rollout = algorithm.rollout
    return rollout == "enumerate" or (rollout == "sample" and bool(algorithm.constrained))
