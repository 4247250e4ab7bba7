"""The config group ``sweep``: one choice for each file of ``sweeps/``."""

from pathlib import Path

from hydra.core.config_store import ConfigStore

GROUP = "sweep"


def register(folder: Path) -> None:
    """Make ``sweep=NAME`` choose ``NAME.yaml`` of this folder, for --help and for TAB too.

    The file's grammar is W&B's and not Hydra's, so the choice is a node that names the file.
    """
    for path in sorted(folder.glob("*.yaml")):
        ConfigStore.instance().store(group=GROUP, name=path.stem, node={"file": str(path)})
