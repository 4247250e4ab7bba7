"""What a goal stands on, and for each artifact whether it is reused or built, and why."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mllmrec import artifacts, locks
from mllmrec.artifacts import Store
from mllmrec.schema import Config
from mllmrec.stage.base import Stage

Action = Literal["reuse", "build", "resume", "skip"]


def lock_of(folder: Path) -> Path:
    """The lock of an artifact's folder."""
    return folder.with_name(f".lock-{folder.name}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One artifact of a plan: what makes it, what it stands on, and what will be done.

    ``fresh`` steps are built even where the artifact is there: they, or one below, were forced.
    ``forecast`` says what training it will take, in words.
    """

    stage: Stage
    id: str
    identity: dict[str, Any]
    inputs: dict[str, str]
    folder: Path
    fresh: bool
    action: Action = "reuse"
    why: str = "built before"
    forecast: str = ""

    @property
    def label(self) -> str:
        return self.stage.label

    @property
    def lock(self) -> Path:
        """What a process that builds this step holds."""
        return lock_of(self.folder)

    @property
    def is_built(self) -> bool:
        return (self.folder / artifacts.MANIFEST).is_file()


def plan(config: Config, store: Store) -> list[Step]:
    """The steps to the goal, each after all that it stands on; touches no file.

    A step is built if the goal needs it and it is missing or fresh. What only stands below
    artifacts that are there is skipped, as `make` would.
    """
    steps: dict[str, Step] = {}
    goal = add(config.goal, config, store, steps)
    needed = {goal.id}
    for step in reversed(list(steps.values())):
        if step.id in needed and (step.fresh or not step.is_built):
            needed.update(step.inputs.values())
            steps[step.id] = to_build(step, config, store)
        elif not step.is_built:
            steps[step.id] = replace(step, action="skip", why="what stands on it is there")
    return list(steps.values())


def add(stage: Stage, config: Config, store: Store, steps: dict[str, Step]) -> Step:
    """Add a stage, after everything that it stands on; a stage asked for twice is one step."""
    below = {name: add(other, config, store, steps) for name, other in stage.inputs(config).items()}
    inputs = {name: step.id for name, step in below.items()}
    identity = {
        "version": stage.version,
        "seed": stage.seed_of(config),
        "inputs": inputs,
        **stage.effective(config),
    }
    id = artifacts.digest({"stage": stage.name, **identity})
    if id not in steps:
        steps[id] = Step(
            stage=stage,
            id=id,
            identity=identity,
            inputs=inputs,
            folder=store.folder(config.dataset_name, stage.name, id),
            fresh=stage.name in config.top.force or any(step.fresh for step in below.values()),
        )
    return steps[id]


def to_build(step: Step, config: Config, store: Store) -> Step:
    if not step.fresh and not locks.is_free(
        step.lock
    ):  # this launch waits, and reuses what comes of it
        return replace(step, action="build", why="another process is building it")
    if artifacts.partial_of(step.folder).exists():
        return replace(step, action="resume", why="an earlier build was interrupted")
    if step.stage.name in config.top.force:
        return replace(step, action="build", why="forced")
    if step.is_built:
        return replace(step, action="build", why="stands on what was forced")
    return replace(step, action="build", why=difference(step, config, store))


def difference(step: Step, config: Config, store: Store) -> str:
    """What sets a missing artifact apart from the newest one of its kind."""
    for other in store.siblings(config.dataset_name, step.stage.name):
        if other.is_readable and other.manifest["label"] == step.label:
            old, new = flatten(other.manifest["identity"]), flatten(step.identity)
            changed = [
                f"{key.removeprefix('knobs.')} {old.get(key)} → {new.get(key)}"
                for key in sorted(old.keys() | new.keys())
                if old.get(key) != new.get(key) and not key.startswith("inputs.")
            ]
            return "; ".join(changed[:3]) or "what it stands on differs"
    return "not built yet"


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {
        key: value
        for name, branch in tree.items()
        for key, value in flatten(branch, f"{prefix}{name}.").items()
    }
