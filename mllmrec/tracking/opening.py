"""How a W&B run begins and ends; W&B never stops a launch.

The config's ``mode`` applies whatever WANDB_MODE says; project, entity, name and the like of the
environment apply where the config has null; under a W&B agent the agent's id, project and sweep
win.
"""

import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mllmrec.artifacts import write_json
from mllmrec.redact import Scrubber
from mllmrec.schema import COMPOSED, GROUPS
from mllmrec.tracking import sent
from mllmrec.tracking.agent import SWEEP, is_chosen_outside
from mllmrec.tracking.folders import own_folders, own_process
from mllmrec.tracking.knobs import Tracking
from mllmrec.tracking.patience import FLUSH, abandon
from mllmrec.tracking.tracker import Tracker
from mllmrec.tracking.unfinished import Unfinished, launch_of, running

log = logging.getLogger(__name__)


@contextmanager
def open_run(
    tracking: Tracking,
    *,
    config: dict[str, Any],
    goal: str,
    overrides: Sequence[str],
    run_id: str | None,
    folder: Path,
    is_main: bool,
) -> Iterator[Tracker]:
    """Track one launch, from here to the end of the block, however it ends.

    Args:
        config: the resolved config; sent without secrets.
        goal: becomes the job type.
        overrides: what was typed; sent without secrets.
        run_id: identity of the launch, the same when its command is repeated; None: never resume.
        folder: Hydra's folder of the launch; gets ``wandb.json`` and ``lineage.json``.
        is_main: whether this is rank 0; the others get a tracker that does nothing.
    """
    scrub = Scrubber(os.environ)
    typed = [scrub.override(override) for override in overrides]
    with ExitStack() as stack:
        tracker = Tracker(folder if is_main else None, scrub=scrub)
        if is_main and tracking.mode != "off":
            told = {**scrub.tree(config), "overrides": typed, "kind": kinds(config)}
            if os.environ.get(SWEEP):  # a choice that is swept takes the place of its node
                told[f"{COMPOSED}_parts"] = told.get(COMPOSED)
            name = tracking.name or name_of(goal, typed)
            opening = Opening(tracking=tracking, scrub=scrub, config=told, goal=goal, name=name)
            tracker = opening.start(stack, run_id, folder) or tracker
        try:
            yield tracker
        except BaseException as error:
            tracker.close(exit_code(error))
            raise
        tracker.close(0)


def name_of(goal: str, typed: Sequence[str]) -> str:
    """The goal and what was typed for this launch, short enough for a legend."""
    plain = (o for o in typed if not o.startswith(("stage=", "tracking", "hydra")))
    return " ".join([goal, *plain])[:120]


def kinds(config: Mapping[str, Any]) -> dict[str, str]:
    """What was chosen of each group, such as ``{"dataset": "toy"}``: columns to group runs by."""
    nodes = {name: node for name, node in config.items() if isinstance(node, Mapping)}
    found = {
        name: str(node["_target_"]).split(".")[-2]
        for name, node in nodes.items()
        if name in GROUPS and "." in str(node.get("_target_"))
    }
    return {**found, **config.get("choices", {})}


def tags_of(config: Mapping[str, Any]) -> list[str]:
    """The dataset and the model, by which people filter first."""
    found = kinds(config)
    model = Path(str((config.get("backbone") or {}).get("path") or found.get("backbone", ""))).name
    return [tag[:64] for tag in (found.get("dataset"), model) if tag]


def exit_code(error: BaseException) -> int:
    """What a process that ends by this exception tells its caller."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 255 if isinstance(error, KeyboardInterrupt) else 1


ON_DISK = 90.0  # seconds in which W&B's own process has begun a run on disk, on a busy machine
FIXED = {
    "use_dot_wandb": False,
    "resume": "allow",
    "reinit": "finish_previous",  # after a crash the next job must not log into the crashed run
    "finish_timeout_raises": True,
    "silent": True,
    "x_transaction_log_flush_interval": FLUSH,
    "console": "off",  # the terminal's text may hold a secret; Hydra keeps the log
    "disable_code": True,
    "disable_git": True,  # its diff and remote may hold a secret; manifests tell the commit
}


@dataclass(frozen=True, kw_only=True)
class Opening:
    """All that it takes to begin a W&B run, free of secrets."""

    tracking: Tracking
    scrub: Scrubber
    config: dict[str, Any]
    goal: str
    name: str

    def start(self, stack: ExitStack, run_id: str | None, folder: Path) -> Tracker | None:
        """A tracker with a W&B run; None, and the reason said, if there is no way to one."""
        home, patience = self.tracking.home, self.tracking.finish_timeout
        try:
            import wandb

            if getattr(wandb, "__file__", None) is None:  # a data folder passes for a package
                raise ImportError("what Python found is a folder of that name")
            stack.enter_context(own_folders(home))
            launch = stack.enter_context(launch_of(home, None if is_chosen_outside() else run_id))
            run = self.begin(launch)
            stack.enter_context(running(home, run.id))
            tracker = Tracker(
                folder,
                scrub=self.scrub,
                run=run,
                launch=launch,
                patience=patience,
                rescue=lambda: self.begin_again(launch),
            )
            try:
                announce(tracker, launch)
            except OSError as error:
                tracker.say("keeping its id", error)
            return tracker
        except ImportError as error:
            self.say("not tracked, as wandb cannot be imported (%s)", error, "pip install wandb")
        except Exception as error:
            self.say("not tracked, as W&B cannot record here (%s)", error, "tracking.dir=FOLDER")
        return None

    def begin(self, launch: Unfinished) -> Any:
        """A run in the mode asked for, or offline where online fails."""
        home = self.tracking.home
        if self.tracking.mode == "online":
            before = set(home.glob("run-*"))
            try:
                return self.init("online", launch)
            except Exception as error:
                wrong = "W&B did not take the run (%s); recording it offline"
                self.say(wrong, error, "wandb login", "tracking=offline")
            abandon()  # else the id counts as in use
            for half in set(home.glob(f"run-*-{launch.id}*")) - before:
                shutil.rmtree(half, ignore_errors=True)
        return self.init("offline", launch)

    def begin_again(self, launch: Unfinished) -> Any:
        """One more part of the run, on disk."""
        run = self.init("offline", launch)
        launch.add(Path(run.settings.sync_dir))
        return run

    def init(self, mode: str, launch: Unfinished) -> Any:
        import wandb

        with own_process():
            wandb.setup(wandb.Settings(mode=mode, silent=True))
            return self.init_here(mode, launch)

    def init_here(self, mode: str, launch: Unfinished) -> Any:
        import wandb

        has_terminal = mode == "online" and sys.stdin and sys.stdin.isatty()
        has_key = not has_terminal or os.environ.get("WANDB_API_KEY") or wandb.login(prompt=False)
        if not has_key:  # where wandb.init would wait for someone to type one
            raise PermissionError("no API key configured")
        # a Settings object that is used twice leaks the first run's tags into the second
        settings = wandb.Settings(**self.settings(mode, launch))
        return wandb.init(config=self.config, settings=settings)

    def settings(self, mode: str, launch: Unfinished) -> dict[str, Any]:
        """Fields of ``wandb.Settings``; what is left out comes from the environment."""
        tracking, plain = self.tracking, self.scrub.text
        tags = [plain(tag) for tag in [*tracking.tags, *tags_of(self.config)]]
        fields = {
            **FIXED,
            "mode": mode,
            "project": tracking.project,
            "entity": tracking.entity,
            "run_id": None if is_chosen_outside() else launch.id,
            "run_name": plain(self.name),
            "run_job_type": self.goal,
            "run_group": tracking.group and plain(tracking.group),
            "run_notes": tracking.notes and plain(tracking.notes),
            "run_tags": tuple(dict.fromkeys(tags)) or None,
            "root_dir": str(tracking.home.parent),
            "init_timeout": tracking.timeout if mode == "online" else ON_DISK,
            "finish_timeout": tracking.finish_timeout if mode == "online" else ON_DISK,
            # the command line is recorded with the machine's metadata
            "x_disable_meta": any(self.scrub.override(word) != word for word in sys.argv[1:]),
        }
        if os.environ.get(SWEEP):  # the agent chose these
            fields |= {"project": None, "entity": None}
        return {name: value for name, value in fields.items() if value is not None}

    def say(self, wrong: str, error: Exception, do: str, instead: str = "tracking=off") -> None:
        cause = self.scrub.text(" ".join(f"{type(error).__name__}: {error}".split()))
        log.warning(f"{wrong}; type: {do}, or {instead}", cause)


def announce(tracker: Tracker, launch: Unfinished) -> None:
    """Keep the run's id and place in the launch's folder, and say them in one line."""
    assert tracker.folder and tracker.path
    launch.add(tracker.path)
    about = {"id": tracker.id, "mode": "online" if tracker.online else "offline"}
    where = {"path": str(tracker.path), "parts": launch.parts, "url": tracker.url}
    tracker.folder.mkdir(parents=True, exist_ok=True)
    write_json(tracker.folder / "wandb.json", {**about, **where})
    if tracker.online:
        log.info("tracking: run %s at %s", tracker.id, tracker.url)
    else:
        said = "tracking: offline run %s in %s; send later with: %s"
        log.info(said, tracker.id, tracker.path, sent.command(tracker.path.parent))
