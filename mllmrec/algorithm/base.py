"""What is optimised: the composition of rollout, group, advantage and loss."""

from typing import Any, Literal

from mllmrec.schema import Model


class Algorithm(Model):
    """A method of the GRPO family; the stage ``grpo`` says with what effort it is run."""

    rollout: Literal["enumerate", "sample"]

    def trainer_args(self) -> dict[str, Any]:
        """The fields of TRL's GRPOConfig that make this method."""
        raise NotImplementedError
