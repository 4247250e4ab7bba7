"""What each trained stage of a plan will take, said before it begins: memory and time."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.hardware import duration
from mllmrec.hardware.duration import Pace
from mllmrec.hardware.machine import Machine, machine
from mllmrec.hardware.memory import Need, need
from mllmrec.hardware.shape import Shape, of_folder, shape_of
from mllmrec.plan import Step
from mllmrec.progress import lasting
from mllmrec.report.tables import human
from mllmrec.schema import Config

TRAINED = ("pretrain", "sft", "grpo", "sft_continued")
FULL = 0.95  # of a GPU's memory; what is above is lost to how it is cut up
UNEVEN = 2  # a step's tokens may be so many times what is assumed of its rows
LEAST = 512  # tokens_per_batch below which a batch is hardly more than a row


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What one trained stage takes on a machine; ``steps`` and ``pace`` where they are known."""

    label: str
    need: Need
    machine: Machine
    steps: int | None
    pace: Pace | None

    @property
    def fits(self) -> bool:
        return self.need.total <= self.machine.bytes * (FULL if self.machine.is_gpu else 1)

    @property
    def sentence(self) -> str:
        """``at most about 1.2 GiB of 24 GiB on … (weights …); about 40 s (400 steps, …)``."""
        need = self.need
        parts = {
            "weights": need.weights,
            "what is trained": need.trained,
            "activations": need.activations,
            "logits": need.logits,
            "cache": need.cache,
        }
        told = ", ".join(f"{name} {human(size)}" for name, size in parts.items() if size)
        verdict = "" if self.fits else ", which does NOT fit"
        memory = f"{human(need.total)} of {human(self.machine.bytes)} on {self.machine.name}"
        said = f"{told} with {need.tokens} tokens in memory"
        return f"at most about {memory}{verdict} ({said}); {self.time}"

    @property
    def time(self) -> str:
        if self.pace is None:
            return "time unknown: set gpu_tflops"
        each = f"{self.pace.seconds:.2g} s a step, {self.pace.source}"
        if self.steps is None:
            return f"{each}; how many steps, the data will tell"
        total = lasting(self.steps * self.pace.seconds)
        return f"about {total} ({self.steps} steps, {each})"

    @property
    def advice(self) -> str:
        """The knob to lower so that it fits."""
        room = self.machine.bytes * FULL - self.need.fixed
        tokens = int(room / self.need.per_token) // 256 * 256
        if tokens >= LEAST:
            return f"type {self.label}.tokens_per_batch={tokens}"
        return f"type {self.label}.gradient_checkpointing=true, or a smaller backbone="


def foretold(steps: Sequence[Step], config: Config, store: Store) -> list[Step]:
    """The plan, with what each stage that is to be trained will take, in words.

    Raises:
        Refusal: the weights, and what is trained of them, do not fit the GPU that is here.
    """
    if not any(is_trained(step) for step in steps):
        return list(steps)
    top = config.top
    on = machine(
        *(top.gpu_memory, top.gpu_tflops),
        is_planned=top.plan_only,
        threads=threads_of(config),
    )
    return [told(step, steps, config, store, on) if is_trained(step) else step for step in steps]


def threads_of(config: Config) -> int | None:
    """Threads that training computes with, in all processes; None where nobody says how many."""
    if config.parallel.is_spread:  # each is given its share of the cores, whatever OpenMP is told
        return config.top.threads and config.top.threads * config.parallel.total()
    told = os.environ.get("OMP_NUM_THREADS", "")
    return config.top.threads or (int(told) if told.isdecimal() else None)


def is_trained(step: Step) -> bool:
    is_adopted = getattr(step.stage, "adopt", None) is not None
    return step.stage.name in TRAINED and step.action in ("build", "resume") and not is_adopted


def told(step: Step, steps: Sequence[Step], config: Config, store: Store, on: Machine) -> Step:
    """One step with its forecast; refused if it cannot be, warned of if it is not likely to fit."""
    samples, items = counts(steps)
    shape = shape_for(step, config, items or 0)
    if shape is None:
        return replace(step, forecast="memory and time unknown: no config.json of the model here")
    made = forecast(step, config, store, on, shape, samples, items or 0)
    if on.is_gpu and not config.top.plan_only and made.need.fixed > on.bytes:
        raise Refusal(
            f"{step.label}: the weights and what is trained of them take "
            f"{human(made.need.fixed)}, {on.name} has {human(on.bytes)}",
            allowed="a model that fits, whatever the batch is",
            do="type another backbone=, or run it on a larger GPU",
        )
    if not made.fits:
        return replace(step, forecast=f"{made.sentence}: {made.advice}")
    return replace(step, forecast=made.sentence)


def forecast(
    step: Step,
    config: Config,
    store: Store,
    on: Machine,
    shape: Shape,
    samples: int | None,
    items: int,
) -> Forecast:
    stage: Any = step.stage
    dtype = config.backbone.dtype
    width = 2 if dtype == "bfloat16" or (dtype == "auto" and on.is_gpu) else 4
    processes = config.parallel.total() if config.parallel.is_spread else 1
    step_tokens = stage.batch_size * duration.tokens_of(stage, config) // processes
    is_written = step.stage.name == "grpo" and config.algorithm.rollout.name in duration.WRITTEN
    return Forecast(
        label=step.label,
        need=need(
            stage,
            shape,
            config.backbone.lora_targets,
            items if getattr(config.backbone, "item_tokens", False) else 0,
            tokens=min(stage.tokens_per_batch, UNEVEN * step_tokens),
            on_gpu=on.is_gpu,
            width=width,
            shards=processes if config.parallel.sharding else 1,
            is_written=is_written,
        ),
        machine=on,
        steps=duration.steps_of(stage, samples),
        pace=duration.pace_of(step, config, store, shape, on, processes),
    )


def shape_for(step: Step, config: Config, items: int) -> Shape | None:
    """The shape of the model that a step trains: the backbone's, or one's merged elsewhere."""
    merge = config.stages.get("merge")
    if step.stage.name in ("grpo", "sft_continued") and merge and merge.adopt:
        return of_folder(Path(merge.adopt).expanduser())
    return shape_of(config.backbone, items)


def counts(steps: Sequence[Step]) -> tuple[int | None, int | None]:
    """Training samples and items, where ``prepare`` has counted them already."""
    for step in steps:
        if step.stage.name == "prepare" and step.is_built:
            try:
                said = json.loads((step.folder / "manifest.json").read_text(encoding="utf-8"))
                return int(said["metrics"]["train_samples"]), int(said["metrics"]["items"])
            except (OSError, ValueError, KeyError):
                break
    return None, None
