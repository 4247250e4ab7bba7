"""The knobs of tracking: where and how a launch is tracked."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mllmrec.schema import Model

Seconds = Annotated[float, Field(gt=0)]


class Tracking(Model):
    """Where and how a launch is tracked; nothing here enters an identity."""

    # YAML reads a bare off as false
    mode: Annotated[
        Literal["offline", "online", "off"], BeforeValidator(lambda v: "off" if v is False else v)
    ]
    project: Annotated[str, Field(min_length=1)]
    entity: str | None
    group: str | None
    name: str | None
    tags: list[str]
    notes: str | None
    dir: Path
    timeout: Seconds
    finish_timeout: Seconds

    @property
    def home(self) -> Path:
        """The one folder that W&B looks into: ``wandb leet`` and ``wandb sync`` take it."""
        return self.dir.expanduser().absolute() / "wandb"
