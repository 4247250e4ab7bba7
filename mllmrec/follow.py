"""A machine that is lent to a launch on another: it starts processes as the leader asks for them.

The leader plans, builds, tracks and publishes; what is asked of the others lies in the store, which
all of them see.
"""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from mllmrec import artifacts, locks
from mllmrec.errors import Refusal
from mllmrec.parallel import crew
from mllmrec.plan import Step
from mllmrec.schema import Config
from mllmrec.stage.base import Job

log = logging.getLogger(__name__)

EVERY = 0.5  # seconds between two looks
PATIENCE = 900.0  # seconds in which nobody builds anything, after which nobody will


def follow(steps: Sequence[Step], config: Config) -> None:
    """Lend this machine's processes, until all that the goal needs is built.

    Raises:
        Refusal: a process died, or no machine leads.
    """
    began = time.time()
    wanted = [step for step in steps if step.action in ("build", "resume")]
    heard = time.monotonic()
    for number, step in enumerate(wanted, start=1):
        log.info("[%d/%d] %s %s: following", number, len(wanted), step.label, step.id)
        done: str | None = None
        while not is_there(step, began):
            folder = workers_of(step)
            if is_held(step):
                heard = time.monotonic()
            if step.stage.spreads and (asked := asked_by(step, folder)) not in (None, done):
                done = asked
                crew.lend(config.parallel, folder, config.top.threads, lambda event: None)
                heard = time.monotonic()
            elif time.monotonic() - heard > PATIENCE:
                raise Refusal(
                    f"{step.label} {step.id}: no machine has built anything for {PATIENCE:.0f} s",
                    allowed="the same command on each machine, over one artifacts folder",
                    do="start the one with parallel.rank=0, and see that artifacts= is shared",
                )
            else:
                time.sleep(EVERY)


def is_there(step: Step, began: float) -> bool:
    manifest = step.folder / artifacts.MANIFEST
    return manifest.is_file() and (not step.fresh or manifest.stat().st_mtime >= began)


def workers_of(step: Step) -> Path:
    """The folder that the processes of a step share."""
    out = artifacts.partial_of(step.folder)
    return Job(out=out, inputs={}, groups={}, seed=0).scratch / crew.FOLDER


def is_held(step: Step) -> bool:
    return not locks.is_free(step.lock)


def asked_by(step: Step, folder: Path) -> str | None:
    """The token of the job that the leader asks for now; None if there is none.

    What a killed launch has left names another holder than the lock does.
    """
    try:
        told = json.loads((folder / crew.JOB).read_text())
        holder = json.loads(step.lock.read_text())
    except (OSError, ValueError):
        return None
    return str(told["token"]) if told["leader"] == holder and is_held(step) else None
