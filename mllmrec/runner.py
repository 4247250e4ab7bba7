"""One launch: config → plan → build or reuse → result, tracked from beginning to end."""

import errno
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mllmrec import launches, probed, provenance, roots
from mllmrec.artifacts import Store, digest
from mllmrec.build import Done, carry_out
from mllmrec.compose import typed_keys
from mllmrec.errors import Refusal
from mllmrec.follow import follow
from mllmrec.hardware.forecast import foretold
from mllmrec.launches import Launch
from mllmrec.plan import Step, plan
from mllmrec.report.tables import print_plan
from mllmrec.schema import COMPOSED, Config, validate
from mllmrec.stage.command import Asked, Command
from mllmrec.tracking.opening import open_run
from mllmrec.tracking.tracker import Tracker

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def launch(tree: DictConfig, hydra: DictConfig) -> None:
    """Carry out one composed config.

    Raises:
        Refusal: the config, the data or the machine does not allow it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # each rank would wait for the others' locks
        raise Refusal(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']}: a launch is one process, it starts the others",
            allowed="python launch.py alone, without accelerate launch or torchrun",
            do="type python launch.py parallel=ddp parallel.processes=N",
        )
    plain: Any = OmegaConf.to_container(tree, resolve=True)
    if hydra.mode == RunMode.MULTIRUN and not plain["tracking"].get("group"):
        plain["tracking"]["group"] = Path(hydra.sweep.dir).name  # jobs of a grid belong together
    overrides = [str(word) for word in hydra.overrides.task]
    config = validate(plain, typed=typed_keys(overrides))
    folder = Path(hydra.runtime.output_dir)
    store = Store(root=config.top.artifacts.expanduser().absolute())
    try:
        if isinstance(config.goal, Command):
            config.goal.execute(
                Asked(
                    store=store,
                    config=config,
                    overrides=tuple(overrides),
                    folder=folder,
                    conf=conf_of(hydra),
                )
            )
        else:
            reach(config, store, plain, overrides, folder, choices_of(hydra))
    except Exception as error:
        if refusal := explained(error, store):
            raise refusal from error
        raise


def reach(
    config: Config,
    store: Store,
    plain: dict[str, Any],
    overrides: Sequence[str],
    folder: Path,
    choices: dict[str, str],
) -> None:
    """Plan the goal, build what is missing, print the result."""
    steps = plan(config, store)
    for step in steps:
        if step.action in ("build", "resume"):
            step.stage.ready(config)
            config.parallel.ready(step.stage)
    steps = foretold(steps, config, store)
    if config.top.plan_only:
        print_plan(steps, config.dropped)
        return
    store.make_writable()
    if config.parallel.follows:
        follow(steps, config)
        return
    roots.remember(store, folder, (step.id for step in steps))
    with launches.told(folder, config=plain, overrides=overrides, store=store.root) as launch:
        launch.told["choices"] = choices
        done = tracked(config, store, plain, overrides, steps, launch)
    config.goal.show(done[steps[-1].id].artifact.folder)


def tracked(
    config: Config,
    store: Store,
    plain: dict[str, Any],
    overrides: Sequence[str],
    steps: Sequence[Step],
    launch: Launch,
) -> dict[str, Done]:
    """Carry out the plan within a W&B run; both that run and ``run.json`` get the final metrics."""
    goal = steps[-1]
    launch_id = digest({"goal": goal.id, "store": str(store.root), "overrides": list(overrides)})
    told = plain.get("prompt", {}).get("captions")
    if told == "auto" and "caption" in config.stages:
        log.info("prompt.captions=auto: %s", "on" if config.prompt.captions else "off, no pictures")
    with open_run(
        config.tracking.model_copy(update={"tags": tags_of(config, steps)}),
        config={
            **plain,
            "provenance": provenance.record(),
            "choices": launch.told["choices"],
        },
        goal=config.top.goal,
        overrides=overrides,
        run_id=launch_id,
        folder=launch.folder,
        is_main=True,
    ) as tracker:
        if tracker.id:
            launch.told["wandb"] = {"id": tracker.id, "url": tracker.url}
            launch.write()
        done = carry_out(steps, config, probed.follow(launch.folder, tracker.log))
        launch.told |= {"steps": steps_of(steps, done), "columns": columns_of(steps, done)}
        launch.write()
        tell(tracker, steps, done, launch)
    return done


def columns_of(steps: Sequence[Step], done: Mapping[str, Done]) -> dict[str, float]:
    """The final metrics of every step, reused ones too."""
    return {
        f"{prefix_of(step)}{name}": value
        for step in steps
        if step.id in done
        for name, value in done[step.id].artifact.manifest["metrics"].items()
    }


def steps_of(steps: Sequence[Step], done: Mapping[str, Done]) -> list[dict[str, Any]]:
    """What was done for every step that the goal needed."""
    return [
        {
            "label": step.label,
            "stage": step.stage.name,
            "id": step.id,
            "folder": str(step.folder),
            "inputs": step.inputs,
            "action": step.action,
            "seconds": done[step.id].seconds,
        }
        for step in steps
        if step.id in done
    ]


def tell(tracker: Tracker, steps: Sequence[Step], done: Mapping[str, Done], launch: Launch) -> None:
    """Give the run the final metrics, the lists of reports as tables, and its lineage."""
    tracker.summary(launch.columns)
    for step in steps:
        if step.id in done:
            tell_report(tracker, step.label, done[step.id].artifact.manifest.get("report", {}))
    made = {step.label: step.folder for step in steps if step.action in ("build", "resume")}
    used = {step.label: step.folder for step in steps if step.action == "reuse"}
    tracker.lineage(inputs=used, outputs=made)


def tell_report(tracker: Tracker, label: str, report: Mapping[str, Any]) -> None:
    """The lists of a stage's report as tables."""
    for name, rows in report.items():
        if isinstance(rows, list) and rows:
            tracker.table(f"{label}/{name}", [*rows[0]], [[*row.values()] for row in rows])


def tags_of(config: Config, steps: Sequence[Step]) -> list[str]:
    """The tags of a run: those of the config, and a warning where rationales were told targets."""
    leaks = config.reasoner.reveal_target and any("reasoner" in step.stage.uses for step in steps)
    return [*config.tracking.tags, *(["reveal_target"] if leaks else [])]


def choices_of(hydra: DictConfig) -> dict[str, str]:
    """The algorithm by its name: what it is composed of does not tell it."""
    found = hydra.runtime.choices.get(COMPOSED)
    return {} if found is None else {COMPOSED: str(found)}


def conf_of(hydra: DictConfig) -> Path:
    """The folder that the config was composed from."""
    main = next(source for source in hydra.runtime.config_sources if source.provider == "main")
    return Path(main.path)


def prefix_of(step: Step) -> str:
    return "eval/" if step.label == "evaluate" else f"{step.label}/"


def explained(error: Exception, store: Store) -> Refusal | None:
    """What the machine refused, in our words; None for a fault that is our own."""
    code, file = getattr(error, "errno", None), getattr(error, "filename", None) or store.root
    # torch and safetensors tell of a full disk by a message alone
    if code in FULL or "No space left" in str(error) or "PytorchStreamWriter" in str(error):
        return Refusal(
            f"{file}: the disk is full ({' '.join(str(error).split())[:200]})",
            allowed="room for the artifacts; what was finished is kept",
            do="free some, by stage=gc for example, or type artifacts=DIR; then repeat the command",
        )
    if code in (errno.EACCES, errno.EROFS, errno.EPERM):
        return Refusal(
            f"{file}: {os.strerror(code)}",
            allowed="files that can be read, and an artifacts folder that can be written",
            do="type artifacts=DIR, or change the permissions",
        )
    return None
