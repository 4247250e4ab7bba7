"""Goal ``sweep``: the points of a sweep's file, side by side, to one table."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mllmrec.schema import Model
from mllmrec.stage.command import Asked, Command


class Cluster(Model):
    """What a job of a SLURM cluster asks for; ``more`` are sbatch's own names."""

    partition: str | None
    minutes: Annotated[int, Field(ge=1)]
    gpus: Annotated[int, Field(ge=1)] | None
    cores: Annotated[int, Field(ge=1)]
    memory_gb: Annotated[int, Field(ge=1)] | None
    more: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """The same, as submitit names it."""
        said = {
            "partition": self.partition,
            "time": self.minutes,
            "gpus_per_node": self.gpus,
            "mem": f"{self.memory_gb}GB" if self.memory_gb else None,
        }
        return {"more": dict(self.more), **{k: v for k, v in said.items() if v is not None}}


class Sweep(Command):
    """Every point is a launch of its own; what they share is built once, under the store's locks.

    ``trials`` bounds the points, ``timeout`` the minutes of each. The folder holds what points are
    composed from as it was when the sweep began, so that an edit of a config in the middle changes
    none of them; the same command goes on with it.
    """

    file: Path | None
    folder: Path | None
    jobs: Annotated[int, Field(ge=1)] | None
    gpus: list[int | str] | None
    trials: Annotated[int, Field(ge=1)] | None
    timeout: Annotated[float, Field(gt=0)] | None
    on_failure: Literal["continue", "stop"]
    executor: Literal["local", "slurm"]
    slurm: Cluster

    def execute(self, asked: Asked) -> None:
        from mllmrec.sweep.whole import run_sweep

        run_sweep(self, asked)
