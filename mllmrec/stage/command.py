"""What has no artifact: a goal that looks at the store, at runs, or starts others."""

from dataclasses import dataclass
from pathlib import Path

from mllmrec.artifacts import Store
from mllmrec.schema import Config, Model


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a command is handed.

    ``overrides`` are what was typed; ``folder`` is Hydra's run folder of this launch, for what the
    command leaves; ``conf`` the folder that the config was composed from.
    """

    store: Store
    config: Config
    overrides: tuple[str, ...]
    folder: Path
    conf: Path

    @property
    def yes(self) -> bool:
        """Whether the command's questions are answered with yes."""
        return self.config.top.yes


class Command(Model):
    """A goal that is carried out at once."""

    def execute(self, asked: Asked) -> None:
        """Do it."""
        raise NotImplementedError
