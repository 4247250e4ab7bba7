"""One run of a comparison: a launch, the artifacts that it stands on, and what it evaluated."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mllmrec.artifacts import MANIFEST, Artifact, Store
from mllmrec.launches import Launch

EVALUATE = "evaluate"
PLAIN = r"[A-Za-z_][\w./-]*|0|[1-9]\d*"  # names that need no quotes
ASKED = {  # how models were asked, and what an identity leaves out
    "evaluate.hint": False,
    "evaluate.mode": "rank",
    "evaluate.full": None,
}


@dataclass(eq=False, kw_only=True)
class Run:
    """A launch by the name it goes by; its artifacts are where it says, or in ``store``."""

    name: str
    launch: Launch
    store: Store
    artifacts: dict[str, Artifact | None] = field(default_factory=dict)

    @cached_property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Its steps by label."""
        return {step["label"]: step for step in self.launch.told["steps"]}

    @cached_property
    def by_id(self) -> dict[str, dict[str, Any]]:
        """Its steps by the id of what they gave."""
        return {step["id"]: step for step in self.launch.told["steps"]}

    @cached_property
    def evaluated(self) -> dict[str, Any] | None:
        """The step of its evaluation, if it came to one."""
        return self.steps.get(EVALUATE)

    def artifact(self, label: str) -> Artifact | None:
        """What a step gave; None where there is no such step, or it is gone since."""
        step = self.steps.get(label)
        return self.at(Path(step["folder"])) if step else None

    def at(self, folder: Path) -> Artifact | None:
        """The artifact of a folder, which may lie in another store by now."""
        key = str(folder)
        if key not in self.artifacts:
            here = Artifact(folder=folder) if (folder / MANIFEST).is_file() else None
            self.artifacts[key] = here or self.store.find(*folder.parts[-3:])
        return self.artifacts[key]

    def manifest(self, label: str) -> dict[str, Any] | None:
        """The manifest of a step's artifact; None where it is gone or damaged."""
        found = self.artifact(label)
        return found.manifest if found and found.is_readable else None

    @cached_property
    def evaluation(self) -> dict[str, Any] | None:
        """The identity of its evaluation."""
        found = self.manifest(EVALUATE)
        return found["identity"] if found else None

    @property
    def policies(self) -> Mapping[str, str]:
        """The id of each policy's rankings, those in other orders included."""
        return self.evaluated["inputs"] if self.evaluated else {}

    @property
    def protocols(self) -> list[str]:
        """Those that it evaluated under, in order."""
        if self.evaluation:
            return list(self.evaluation["knobs"]["protocols"])
        names = (name.split("/") for name in self.launch.columns if name.startswith("eval/"))
        return list(dict.fromkeys(parts[2] for parts in names if len(parts) > 3))

    def ranking(self, policy: str) -> Artifact | None:
        """The rankings of one policy."""
        if not self.evaluated or policy not in self.policies:
            return None
        home = Path(self.evaluated["folder"]).parents[1]
        return self.at(home / "rank" / self.policies[policy])

    def asked(self, knob: str) -> Any:
        """How its models were asked; what an identity does not name is as it is by default."""
        knobs = (self.evaluation or {"knobs": {}})["knobs"]
        return knobs.get(knob.partition(".")[2], ASKED[knob])

    def table(self, label: str, name: str) -> Any:
        """A JSON file of a step's artifact; None where it has none."""
        found = self.artifact(label)
        try:
            return json.loads((found.folder / name).read_text(encoding="utf-8")) if found else None
        except (OSError, ValueError):
            return None


def place_of(name: str, runs: Sequence[Run]) -> int | None:
    """The run of this name, or the only one of this W&B id or with such a run folder."""
    for names in (
        [run.name for run in runs],
        [(run.launch.told["wandb"] or {}).get("id") for run in runs],
        [run.launch.folder.name for run in runs],
    ):
        if names.count(name) == 1:
            return names.index(name)
    return None


def listed(runs: Sequence[Run]) -> str:
    """The names of runs, so many as are read."""
    names = [run.name for run in runs]
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")


def in_shell(knob: str, name: str) -> str:
    """An override that gives a knob this name, as it is typed in a shell."""
    escaped = name.replace('"', '\\"')
    return shlex.quote(f"{knob}=" + (name if re.fullmatch(PLAIN, name) else f'"{escaped}"'))
