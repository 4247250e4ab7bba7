"""Carry out a plan: build what is missing under its lock, reuse the rest."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mllmrec import artifacts, locks, provenance
from mllmrec.artifacts import Artifact
from mllmrec.plan import Step
from mllmrec.schema import Config
from mllmrec.stage.base import Job, Metrics

log = logging.getLogger(__name__)

OnMetrics = Callable[[str, Metrics, int], None]


@dataclass(frozen=True, kw_only=True)
class Done:
    """A step that was taken: its artifact, and the seconds spent on building it here, if it was."""

    artifact: Artifact
    seconds: float | None = None


def carry_out(steps: Sequence[Step], config: Config, on_metrics: OnMetrics) -> dict[str, Done]:
    """Take every step of a plan in order; return what came of each by its id."""
    done: dict[str, Done] = {}
    steps = [step for step in steps if step.action != "skip"]
    for number, step in enumerate(steps, start=1):
        where = f"[{number}/{len(steps)}] {step.label} {step.id}"
        if step.action == "reuse":
            log.info("%s: reused", where)
            done[step.id] = Done(artifact=Artifact(folder=step.folder))
            done[step.id].artifact.verify(thorough=False)
            continue
        log.info("%s: %s (%s)", where, step.action, step.why)
        done[step.id] = build(step, done, config, on_metrics)
        took = done[step.id].seconds
        how = "built by another process" if took is None else f"done in {took:.1f} s"
        log.info("%s: %s", where, how)
    return done


def build(step: Step, done: dict[str, Done], config: Config, on_metrics: OnMetrics) -> Done:
    """Build one artifact under its lock, unless another process has built it meanwhile."""
    asked = time.time()
    with locks.held(step.folder.with_name(f".lock-{step.id}")):
        partial = artifacts.partial_of(step.folder)
        if (partial / artifacts.MANIFEST).is_file():  # killed while it was published
            return Done(artifact=artifacts.put_in_place(partial, step.folder))
        if step.is_built:
            built = (step.folder / artifacts.MANIFEST).stat().st_mtime
            if not step.fresh or built >= asked:
                return Done(artifact=Artifact(folder=step.folder))
        started = time.monotonic()
        made = build_locked(step, done, config, on_metrics)
        return Done(artifact=made, seconds=round(time.monotonic() - started, 1))


def build_locked(
    step: Step, done: dict[str, Done], config: Config, on_metrics: OnMetrics
) -> Artifact:
    partial = artifacts.partial_of(step.folder)
    partial.mkdir(parents=True, exist_ok=True)
    inputs = {name: done[id].artifact for name, id in step.inputs.items()}
    for artifact in inputs.values():
        artifact.verify(thorough=True)
    groups = {name: config.groups[name] for name in step.stage.uses}
    if step.stage.needs_torch or any(getattr(one, "needs_torch", False) for one in groups.values()):
        ready_torch(config.top.threads)
    job = Job(
        out=partial,
        inputs={name: artifact.folder for name, artifact in inputs.items()},
        groups=groups,
        seed=config.top.seed,
        log=lambda metrics, at: on_metrics(step.label, metrics, at),
    )
    began, clock = datetime.now(UTC), time.monotonic()
    metrics = step.stage.run(job)
    manifest = {
        "stage": step.stage.name,
        "label": step.label,
        "id": step.id,
        "identity": step.identity,
        "metrics": metrics,
        "began": began.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 1),
        **provenance.record(),
    }
    return artifacts.publish(partial, step.folder, manifest)


def ready_torch(threads: int | None) -> None:
    """Fix the number of threads, and quiet what the libraries below say of themselves.

    Results are the same bytes only at the same number of threads.
    """
    import torch
    from transformers.utils import logging as transformers_logging

    if threads is not None:
        torch.set_num_threads(threads)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    # transformers renames an argument that TRL still uses; neither is ours or the user's to mend
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*deprecated.*")
