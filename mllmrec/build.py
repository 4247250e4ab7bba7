"""Carry out a plan: build what is missing under its lock, reuse the rest."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from mllmrec import artifacts, locks, provenance
from mllmrec.artifacts import Artifact
from mllmrec.plan import Step
from mllmrec.schema import Config
from mllmrec.stage.base import Job, Metrics

log = logging.getLogger(__name__)

OnMetrics = Callable[[str, Metrics, int], None]


def carry_out(steps: Sequence[Step], config: Config, on_metrics: OnMetrics) -> dict[str, Artifact]:
    """Take every step of a plan in order; return the artifact of each by its id."""
    done: dict[str, Artifact] = {}
    steps = [step for step in steps if step.action != "skip"]
    for number, step in enumerate(steps, start=1):
        where = f"[{number}/{len(steps)}] {step.label} {step.id}"
        if step.action == "reuse":
            log.info("%s: reused", where)
            done[step.id] = Artifact(folder=step.folder)
            done[step.id].verify(thorough=False)
            continue
        log.info("%s: %s (%s)", where, step.action, step.why)
        started = time.monotonic()
        done[step.id] = build(step, done, config, on_metrics)
        log.info("%s: done in %.1f s", where, time.monotonic() - started)
    return done


def build(step: Step, done: dict[str, Artifact], config: Config, on_metrics: OnMetrics) -> Artifact:
    """Build one artifact under its lock, unless another process has built it meanwhile."""
    asked = time.time()
    with locks.held(step.folder.with_name(f".lock-{step.id}")):
        partial = artifacts.partial_of(step.folder)
        if (partial / artifacts.MANIFEST).is_file():  # killed while it was published
            return artifacts.put_in_place(partial, step.folder)
        if step.is_built:
            built = (step.folder / artifacts.MANIFEST).stat().st_mtime
            if not step.fresh or built >= asked:
                return Artifact(folder=step.folder)
        return build_locked(step, done, config, on_metrics)


def build_locked(
    step: Step, done: dict[str, Artifact], config: Config, on_metrics: OnMetrics
) -> Artifact:
    partial = artifacts.partial_of(step.folder)
    partial.mkdir(parents=True, exist_ok=True)
    inputs = {name: done[id] for name, id in step.inputs.items()}
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
