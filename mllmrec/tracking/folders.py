"""Where W&B keeps its own files, and whom its own process serves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_folders(home: Path) -> Iterator[None]:
    """Keep W&B's staged artifacts and logs out of the user's home folder.

    ``wandb.Settings`` has no field for these two, so this is the one place of the project that
    sets environment variables: for the length of a run, and not over what the user has set.
    """
    home.mkdir(parents=True, exist_ok=True)
    wanted = {"WANDB_DATA_DIR": home / "data", "WANDB_CACHE_DIR": home / "cache"}
    ours = {name: str(path) for name, path in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


SERVICE = "WANDB_SERVICE"


@contextmanager
def own_process() -> Iterator[None]:
    """Keep the W&B process that is started in the block from being that of our children too.

    wandb tells of it by an environment variable, so that a launch that a sweep starts would record
    by the process of the sweep, and be lost with it. One that the user has set stays.
    """
    was = SERVICE in os.environ
    try:
        yield
    finally:
        if not was:
            os.environ.pop(SERVICE, None)
