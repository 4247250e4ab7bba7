"""Each process holds the whole model; a step's rows are shared out, gradients added up."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from mllmrec.errors import Refusal
from mllmrec.parallel.base import Count, Parallel


class Ddp(Parallel):
    """``processes`` on each of ``machines``, of which this is number ``rank``."""

    processes: Count | None
    machines: Count
    rank: Annotated[int, Field(ge=0)]
    address: str | None
    port: Annotated[int, Field(ge=1, le=65535)] | None

    @model_validator(mode="after")
    def check_machines(self) -> Self:
        if self.rank >= self.machines:
            raise ValueError(f"rank={self.rank} is not below machines={self.machines}")
        if self.machines > 1 and not (self.address and self.port):
            raise ValueError(
                f"machines={self.machines} need parallel.address=HOST, that of the machine with "
                "parallel.rank=0, and parallel.port=NUMBER, one that is free there"
            )
        return self

    @property
    def is_spread(self) -> bool:
        return True

    @property
    def follows(self) -> bool:
        return self.rank > 0

    def here(self) -> int:
        """The processes on each machine: as many as were asked for, or one a visible GPU.

        Raises:
            Refusal: none were asked for, and there is no GPU to count.
        """
        if self.processes is not None:
            return self.processes
        import torch

        if found := torch.cuda.device_count():
            return found
        raise Refusal(
            "parallel.processes=null: torch sees no GPU to count",
            allowed="a number of processes; on CPUs they share the cores",
            do="type parallel.processes=2, or parallel=none",
        )

    def total(self) -> int:
        return self.here() * self.machines

    def config(self, port: int) -> Mapping[str, Any]:
        return {
            "compute_environment": "LOCAL_MACHINE",
            "distributed_type": "MULTI_GPU",  # on CPUs too: processes, whatever they compute on
            "num_processes": self.total(),
            "num_machines": self.machines,
            "machine_rank": self.rank,
            "main_process_ip": self.address,
            "main_process_port": self.port or port,
            "same_network": True,
            "mixed_precision": "no",  # a stage's own arguments say in what it computes
            "main_training_function": "main",
        }
