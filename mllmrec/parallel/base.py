"""How many processes carry out a stage, and how they are started."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from mllmrec.errors import Refusal
from mllmrec.schema import Model

Count = Annotated[int, Field(ge=1)]


class Parallel(Model):
    """Processes of one stage. It is in no identity: results do not hang on it."""

    @property
    def is_spread(self) -> bool:
        """Whether stages that can be are carried out by processes of their own."""
        return False

    @property
    def follows(self) -> bool:
        """Whether this launch only lends its machine to another one, which leads."""
        return False

    def total(self) -> int:
        """The number of processes, on all machines."""
        return 1

    @property
    def sharding(self) -> Any:
        """How frozen weights are spread over the processes; None: each holds all of them."""
        return None

    def config(self, port: int) -> Mapping[str, Any]:
        """What ``accelerate launch`` is told, in its own config file."""
        raise NotImplementedError

    def ready(self, stage: Any) -> None:
        """Refuse a stage that so many processes could not share, before anything is built.

        Raises:
            Refusal: a step's rows cannot be shared out evenly, or vLLM would write them.
        """
        if not (self.is_spread and stage.spreads):
            return
        size, processes = getattr(stage, "batch_size", None), self.total()
        if size is not None and size % processes:
            fits = [n for n in range(1, size + 1) if size % n == 0]
            above = -(-size // processes) * processes
            raise Refusal(
                f"{stage.name}.batch_size={size}: not divisible by {processes} processes",
                allowed="steps whose rows are shared out evenly: the result is that of one "
                "process, and none of them waits",
                do=f"type {stage.name}.batch_size={above}, or as many processes as "
                f"{', '.join(map(str, fits))}",
            )
        if getattr(stage, "vllm", False):
            raise Refusal(
                f"grpo.vllm=true: not with {processes} processes",
                allowed="one process, or answers that the model writes itself",
                do="type parallel=none, or grpo.vllm=false",
            )
