"""Which parts of runs the server has: W&B's own marker, with the size of what was sent."""

import shlex
from pathlib import Path

from mllmrec.tracking import record


def command(home: Path) -> str:
    """What to type to send what the server does not have."""
    elsewhere = [] if home.parent == Path.cwd() else [f"tracking.dir={home.parent}"]
    return shlex.join(["python", "launch.py", "stage=sync", *elsewhere])


def marker(part: Path) -> Path:
    """The file beside a record that says that it was sent, which W&B's own commands respect."""
    return record.file_of(part).with_suffix(".wandb.synced")


def mark(part: Path, size: int | None = None) -> None:
    """Remember that the server has all of this part, or so many bytes of its record."""
    size = record.file_of(part).stat().st_size if size is None else size
    marker(part).write_text(str(size))


def is_sent(part: Path) -> bool:
    """Whether the server has all that the part holds now; a part that grew since has to go again.

    A marker without a size is of ``wandb sync``.
    """
    try:
        told = marker(part).read_text().strip()
    except FileNotFoundError:
        return False
    return not told or told == str(record.file_of(part).stat().st_size)
