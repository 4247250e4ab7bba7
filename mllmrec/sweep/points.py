"""The runs of a sweep: which command each is, what it still has to build, and how it stands."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mllmrec import launches, locks, probed
from mllmrec.artifacts import MANIFEST
from mllmrec.errors import Refusal
from mllmrec.launches import Launch
from mllmrec.plan import lock_of
from mllmrec.sweep.space import Values, apart, words_of

LOG = "out.log"  # what a point printed, in its run folder
HINT = "HYDRA_FULL_ERROR=1"  # how Hydra ends what it says of a fault
JOB = "job.json"  # which process or job it is


@dataclass(frozen=True, kw_only=True)
class Need:
    """An artifact that a run stands on, and the ids of those that it is made from."""

    id: str
    label: str
    folder: Path
    inputs: tuple[str, ...] = ()

    @property
    def is_built(self) -> bool:
        return (self.folder / MANIFEST).is_file()

    @property
    def is_being_built(self) -> bool:
        return not locks.is_free(lock_of(self.folder))


@dataclass(frozen=True, kw_only=True)
class Run:
    """One launch of a sweep: a point with one of its seeds.

    ``needs`` are the artifacts it stands on, in the order in which a launch builds them.
    """

    number: int
    values: Values
    words: tuple[str, ...]
    folder: Path
    needs: tuple[Need, ...] = field(default=(), repr=False)

    @property
    def point(self) -> Values:
        return apart(self.values)

    @property
    def name(self) -> str:
        """``cot_prob=0.1 grpo.beta=0.05``."""
        return " ".join(words_of(self.values)) or "the one point"

    @property
    def launch(self) -> Launch | None:
        """What the launch tells of itself; None before it has begun."""
        try:
            return launches.read(self.folder)
        except Refusal:
            return None

    @property
    def state(self) -> str:
        """waiting, or as its ``run.json`` has it; stopped: asked to end, and it did."""
        launch = self.launch
        state = launch.state if launch else "waiting"
        is_stopped = state not in ("running", "finished") and (self.folder / probed.STOP).exists()
        return "stopped" if is_stopped else state

    @property
    def why(self) -> str:
        """Why there is no result: the last line that the point printed, or why it was stopped."""
        stop = self.folder / probed.STOP
        path = stop if stop.exists() else self.folder / LOG
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip() and HINT not in line]
        ours = [line for line in said if line.startswith("mllmrec: ")]
        return (ours or said or [""])[-1].removeprefix("mllmrec: ")[:300]

    def looks(self, name: str) -> list[float]:
        """What its probe has said so far under this name."""
        return probed.looks(self.folder, name)


def command(words: Sequence[str]) -> str:
    """What to type in a shell to launch these overrides."""
    return shlex.join(["python", "launch.py", *words])


def note(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a line to a journal, in the place of one that a kill has left half-written."""
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(entry).encode() + b"\n")


def noted(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
