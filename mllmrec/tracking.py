"""Runs in Weights & Biases: the only module that imports wandb, and only inside functions.

Tracking never stops a run: whatever fails in it is said once, and the run goes on. The config's
``mode`` applies whatever WANDB_MODE says; project, entity, name and the like of the environment
apply where the config has null; under a W&B agent the agent's id, project and sweep win.

**Resume.** A launch has a W&B id of its own, kept in ``<dir>/wandb/unfinished/<launch>.json``
until the launch ends well. A launch that was killed or failed finds that file when its command is
repeated and goes on under the same id: online at the server, offline in one more ``offline-run-*``
folder whose record says resume, so that ``wandb sync`` of all the parts appends them to one run.
A launch that ended well gets a fresh id when it is repeated, as does one that runs twice at once.
Steps between the last checkpoint and a kill are logged again, at the same ``<stage>/step``.
"""

import json
import logging
import os
import re
import secrets
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import filelock
from pydantic import BeforeValidator, Field

from mllmrec.artifacts import write_json
from mllmrec.errors import Refusal
from mllmrec.redact import Scrubber
from mllmrec.schema import Model

log = logging.getLogger(__name__)

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


OUTSIDE = ("WANDB_SWEEP_ID", "WANDB_RUN_ID")  # set by a W&B agent, or by who plays one


def is_chosen_outside() -> bool:
    """Whether the id of the W&B run is not ours to choose."""
    return any(os.environ.get(name) for name in OUTSIDE)


def refuse_multirun_under_agent() -> None:
    """Refuse ``-m`` in a process whose W&B run was chosen from outside: all jobs would share it.

    Raises:
        Refusal: WANDB_SWEEP_ID or WANDB_RUN_ID is set.
    """
    for name in OUTSIDE:
        if os.environ.get(name):
            raise Refusal(
                f"-m with {name}={os.environ[name]}: every job would log into that one run",
                allowed="one launch for each run of a W&B agent",
                do=f"leave -m out and let the agent choose the values, or type: unset {name}",
            )


@dataclass(kw_only=True)
class Launch:
    """The W&B id of one launch and the folders its parts lie in, kept until it ends well."""

    id: str
    parts: list[str] = field(default_factory=list)
    file: Path | None = None

    def add(self, part: Path) -> None:
        self.parts.append(str(part))
        if self.file:
            write_json(self.file, {"id": self.id, "parts": self.parts})

    def finished(self) -> None:
        if self.file:
            self.file.unlink(missing_ok=True)


@contextmanager
def launch_of(home: Path, identity: str | None) -> Iterator[Launch]:
    """The unfinished launch of this identity, or a fresh one."""
    fresh = Launch(id=secrets.token_hex(4))
    if identity is None:
        yield fresh
        return
    file = home / "unfinished" / f"{identity}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = filelock.FileLock(file.with_suffix(".lock"), timeout=0).acquire()
    except filelock.Timeout:  # the same launch runs at this moment: two writers spoil one run
        yield fresh
        return
    with lock:
        yield kept_in(file) or Launch(id=fresh.id, file=file)


def kept_in(file: Path) -> Launch | None:
    try:
        return Launch(**json.loads(file.read_text()), file=file)
    except (OSError, ValueError, TypeError):
        return None


class Tracker:
    """What a launch tells of itself; without a W&B run it keeps the lineage file and no more.

    ``id``, ``path`` (the run's folder) and ``url`` (online only) are None where there is none.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        scrub: Scrubber,
        run: Any = None,
        launch: Launch | None = None,
        patience: float = 0.0,
    ) -> None:
        self.folder, self.scrub, self.run, self.launch = folder, scrub, run, launch
        self.patience = patience
        self.online = run is not None and not run.offline
        self.id: str | None = run.id if run else None
        self.path: Path | None = Path(run.settings.sync_dir) if run else None
        self.url: str | None = run.url if self.online else None
        self.stages: set[str] = set()
        self.edges: dict[str, dict[str, Any]] = {"inputs": {}, "outputs": {}}
        self.said = False

    def log(self, metrics: Mapping[str, float], step: int, stage: str) -> None:
        """Chart metrics of one step as ``<stage>/<metric>`` over the stage's own step counter."""
        if self.run is None:
            return
        with self.guard("log"):
            if stage not in self.stages:
                self.stages.add(stage)
                self.run.define_metric(f"{stage}/step", hidden=True)
                self.run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
            row = {f"{stage}/{name}": float(value) for name, value in metrics.items()}
            self.run.log({**row, f"{stage}/step": step})

    def summary(self, values: Mapping[str, Any]) -> None:
        """Set columns of the run's table, under the keys given."""
        if self.run is None:
            return
        with self.guard("summary"):
            self.run.summary.update(self.scrub.tree(values))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table; cells are numbers, text, true, false or None."""
        if self.run is None:
            return
        with self.guard("table"):
            import wandb

            cells = self.scrub.tree(rows)
            table = wandb.Table(columns=list(columns), data=cells, allow_mixed_types=True)
            self.run.log({name: table})

    def lineage(self, inputs: Mapping[str, Path], outputs: Mapping[str, Path]) -> None:
        """Keep which artifact folders this launch stood on and which it made.

        Goes into ``lineage.json`` of the launch's folder, always; into the run's config, so that
        it survives ``wandb sync``; online also as W&B artifacts that refer to the folders (none
        of their content is uploaded). Calls add up.

        Args:
            inputs: folders ``…/<dataset>/<stage>/<id>`` by the name that the launch knows them by.
            outputs: the same for what was made.
        """
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for side, folders in (("inputs", inputs), ("outputs", outputs)):
            for name, path in folders.items():
                self.edges[side][label(path)] = {"as": name, "path": str(path.absolute())}
        write_json(self.folder / "lineage.json", {"run": self.id, **self.edges})
        if self.run is None:
            return
        with self.guard("lineage"):
            self.run.config.update({"lineage": self.edges}, allow_val_change=True)
        if self.online:
            with self.guard("lineage"):
                within(self.patience, lambda: self.send_references(inputs, outputs))

    def send_references(self, inputs: Mapping[str, Path], outputs: Mapping[str, Path]) -> None:
        for path in outputs.values():
            self.run.log_artifact(reference(path))
        for path in inputs.values():
            self.run.use_artifact(reference(path))  # waits for the server

    def close(self, exit_code: int) -> None:
        """End the W&B run; a launch that ended well will not be resumed."""
        if self.run is None:
            return
        import wandb

        with self.guard("finish"):
            self.run.finish(exit_code=exit_code)
        with self.guard("finish"):
            wandb.teardown()  # the file is whole only once W&B's process has gone
        if exit_code == 0 and self.launch:
            self.launch.finished()

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Say the first failure of W&B, and let the launch go on after any."""
        try:
            yield
        except Exception as error:
            if not self.said:
                self.said = True
                cause = self.scrub.text(" ".join(f"{type(error).__name__}: {error}".split()))
                wrong = "W&B failed in %s (%s); the run goes on"
                log.warning(f"{wrong}. To send what it recorded, type: wandb sync %s",
                            what, cause, self.path)  # fmt: skip


def label(path: Path) -> str:
    """``<dataset>/<stage>/<id>`` of an artifact's folder."""
    return "/".join(path.absolute().parts[-3:])


def reference(path: Path) -> Any:
    """A W&B artifact that names a folder without taking in its content."""
    import wandb

    name = re.sub(r"[^\w.-]", "-", label(path))[-128:]
    made = wandb.Artifact(name, type=path.parent.name, metadata={"path": str(path.absolute())})
    made.add_reference(path.absolute().as_uri(), checksum=False)
    return made


def within(seconds: float, work: Callable[[], None]) -> None:
    """Do work that may wait for a server for ever; TimeoutError when it takes too long."""
    failed: list[Exception] = []

    def body() -> None:
        try:
            work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if failed:
        raise failed[0]


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
            sent = {**scrub.tree(config), "overrides": typed}
            name = tracking.name or name_of(goal, typed)
            opening = Opening(tracking=tracking, scrub=scrub, config=sent, goal=goal, name=name)
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


def exit_code(error: BaseException) -> int:
    """What a process that ends by this exception tells its caller."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 255 if isinstance(error, KeyboardInterrupt) else 1


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


FIXED = {
    "use_dot_wandb": False,
    "resume": "allow",
    "reinit": "finish_previous",  # after a crash the next job must not log into the crashed run
    "finish_timeout_raises": True,
    "silent": True,
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
            tracker = Tracker(folder, scrub=self.scrub, run=run, launch=launch, patience=patience)
            with tracker.guard("keeping its id"):
                announce(tracker, launch)
            return tracker
        except ImportError as error:
            self.say("not tracked, as wandb cannot be imported (%s)", error, "pip install wandb")
        except Exception as error:
            self.say("not tracked, as W&B cannot record here (%s)", error, "tracking.dir=FOLDER")
        return None

    def begin(self, launch: Launch) -> Any:
        """A run in the mode asked for, or offline where online fails."""
        home = self.tracking.home
        if self.tracking.mode == "online":
            before = set(home.glob("run-*"))
            try:
                return self.init("online", launch)
            except Exception as error:
                wrong = "W&B did not take the run (%s); recording it offline"
                self.say(wrong, error, "wandb login", "tracking=offline")
            import wandb

            wandb.teardown()  # else the id counts as in use
            for half in set(home.glob(f"run-*-{launch.id}")) - before:
                shutil.rmtree(half, ignore_errors=True)
        return self.init("offline", launch)

    def init(self, mode: str, launch: Launch) -> Any:
        import wandb

        wandb.setup(wandb.Settings(mode=mode, silent=True))
        has_terminal = mode == "online" and sys.stdin and sys.stdin.isatty()
        has_key = not has_terminal or os.environ.get("WANDB_API_KEY") or wandb.login(prompt=False)
        if not has_key:  # where wandb.init would wait for someone to type one
            raise PermissionError("no API key configured")
        # a Settings object that is used twice leaks the first run's tags into the second
        settings = wandb.Settings(**self.settings(mode, launch))
        return wandb.init(config=self.config, settings=settings)

    def settings(self, mode: str, launch: Launch) -> dict[str, Any]:
        """Fields of ``wandb.Settings``; what is left out comes from the environment."""
        tracking = self.tracking
        fields = {
            **FIXED,
            "mode": mode,
            "project": tracking.project,
            "entity": tracking.entity,
            "run_id": None if is_chosen_outside() else launch.id,
            "run_name": self.name,
            "run_job_type": self.goal,
            "run_group": tracking.group,
            "run_notes": tracking.notes,
            "run_tags": tuple(tracking.tags) or None,
            "root_dir": str(tracking.home.parent),
            "init_timeout": tracking.timeout,
            "finish_timeout": tracking.finish_timeout,
            # the command line is recorded with the machine's metadata
            "x_disable_meta": any(self.scrub.override(word) != word for word in sys.argv[1:]),
        }
        if os.environ.get("WANDB_SWEEP_ID"):  # the agent chose these
            fields |= {"project": None, "entity": None}
        return {name: value for name, value in fields.items() if value is not None}

    def say(self, wrong: str, error: Exception, do: str, instead: str = "tracking=off") -> None:
        cause = self.scrub.text(" ".join(f"{type(error).__name__}: {error}".split()))
        log.warning(f"{wrong}; type: {do}, or {instead}", cause)


def announce(tracker: Tracker, launch: Launch) -> None:
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
        said = "tracking: offline run %s in %s; send later with: wandb sync %s"
        log.info(said, tracker.id, tracker.path, " ".join(launch.parts))
