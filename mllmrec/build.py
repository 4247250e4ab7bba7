"""Carry out a plan: build what is missing under its lock, reuse the rest."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mllmrec import artifacts, locks, provenance
from mllmrec.artifacts import Artifact
from mllmrec.parallel import crew
from mllmrec.performing import perform, ready_torch
from mllmrec.plan import Step
from mllmrec.schema import Config
from mllmrec.stage.base import Job, Metrics, Stage
from mllmrec.worker import written

log = logging.getLogger(__name__)

OnMetrics = Callable[[str, Metrics, int], None]


@dataclass(frozen=True, kw_only=True)
class Done:
    """A step that was taken: its artifact, and the seconds spent on building it here, if it was."""

    artifact: Artifact
    seconds: float | None = None


def carry_out(steps: Sequence[Step], config: Config, on_metrics: OnMetrics) -> dict[str, Done]:
    """Take every step of a plan; return what came of each by its id.

    They are taken in order, but for those that another process is building: what does not stand
    on them comes first, so that two launches which share a chain share its work.
    """
    done: dict[str, Done] = {}
    steps = [step for step in steps if step.action != "skip"]
    left = dict(enumerate(steps, start=1))
    while left:
        number = next_of(left, done)
        step = left.pop(number)
        where = f"[{number}/{len(steps)}] {step.label} {step.id}"
        if step.action == "reuse":
            log.info("%s: reused", where)
            done[step.id] = Done(artifact=Artifact(folder=step.folder))
            done[step.id].artifact.verify(thorough=False)
            continue
        log.info("%s: %s (%s)", where, step.action, step.why)
        if step.forecast:
            log.info("%s: %s", where, step.forecast)
        done[step.id] = build(step, done, config, on_metrics)
        took = done[step.id].seconds
        how = "built by another process" if took is None else f"done in {took:.1f} s"
        log.info("%s: %s", where, how)
    return done


def next_of(left: Mapping[int, Step], done: Mapping[str, Done]) -> int:
    """The first step that could be taken at this moment; waits where others build all of these."""
    ready = [
        number
        for number, step in left.items()
        if step.action == "reuse" or all(id in done for id in step.inputs.values())
    ]
    said = False
    while True:
        for number in ready:
            if left[number].action == "reuse" or locks.is_free(left[number].lock):
                return number
        if not said:
            labels = ", ".join(left[number].label for number in ready)
            log.info("waiting for another process to finish %s", labels)
            said = True
        time.sleep(locks.GLANCE)


def build(step: Step, done: dict[str, Done], config: Config, on_metrics: OnMetrics) -> Done:
    """Build one artifact under its lock, unless another process has built it meanwhile."""
    asked = time.time()
    with locks.held(step.lock):
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
    job = Job(
        out=partial,
        inputs={name: artifact.folder for name, artifact in inputs.items()},
        groups=groups,
        seed=step.stage.seed_of(config),
        top_seed=config.top.seed,
        log=lambda metrics, at: on_metrics(step.label, metrics, at),
    )
    began, clock = datetime.now(UTC), time.monotonic()
    metrics = carried_out(step, job, config)
    manifest = {
        "stage": step.stage.name,
        "label": step.label,
        "id": step.id,
        "identity": step.identity,
        "metrics": metrics,
        "began": began.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 1),
        **provenance.record(),
        **({"processes": config.parallel.total()} if is_spread(step, config) else {}),
    }
    return artifacts.publish(partial, step.folder, manifest)


def carried_out(step: Step, job: Job, config: Config) -> Metrics:
    """Run a step's stage: in this process, or in several where those were asked for."""
    parallel, threads = config.parallel, config.top.threads
    if is_spread(step, config):
        told = written(step.stage, job, parallel, threads)
        return crew.work(parallel, job.scratch / crew.FOLDER, told, threads, repeated(job))
    if needs_torch(step.stage, job):
        ready_torch(threads)
    return perform(step.stage, job)


def is_spread(step: Step, config: Config) -> bool:
    """Whether several processes carry a step out."""
    return config.parallel.is_spread and step.stage.spreads


def needs_torch(stage: Stage, job: Job) -> bool:
    groups = job.groups.values()
    return stage.needs_torch or any(getattr(one, "needs_torch", False) for one in groups)


def repeated(job: Job) -> crew.Hear:
    """What a worker tells, said once more in this process."""

    def hear(event: Mapping[str, Any]) -> None:
        if "metrics" in event:
            job.log(event["metrics"], event["step"])
        else:
            line = event["log"]
            logging.getLogger(line["name"]).log(line["level"], "%s", line["text"])

    return hear
