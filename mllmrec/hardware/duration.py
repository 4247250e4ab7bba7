"""How long a trained stage takes: as an earlier one did, or by the operations that it comes to."""

from dataclasses import dataclass
from typing import Any

from mllmrec.artifacts import Artifact, Store
from mllmrec.hardware.machine import Machine
from mllmrec.hardware.shape import Shape
from mllmrec.plan import Step
from mllmrec.schema import Config

USED = 0.4  # share of a GPU's peak that training reaches; assumed
# Tokens, assumed: of an item's title, of its [ITEM_id] where that is not one token, of the rest of
# a prompt.
TITLE, MARKER, FRAME = 5, 7, 40


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds an optimiser step, and in words where they are known from."""

    seconds: float
    source: str


def steps_of(stage: Any, samples: int | None) -> int | None:
    """Optimiser steps of a stage; None where they hang on a number of samples not known yet."""
    if stage.max_steps:
        return int(stage.max_steps)
    return -(-int(samples * stage.epochs) // stage.batch_size) if samples else None


def pace_of(
    step: Step, config: Config, store: Store, shape: Shape, machine: Machine, processes: int = 1
) -> Pace | None:
    """The pace of a stage: that of the newest of its kind, or else an estimate.

    None on a GPU whose peak is not known.
    """
    earlier = (timed(one, step) for one in store.siblings(config.dataset_name, step.stage.name))
    for pace in earlier:
        if pace:
            return pace
    if machine.peak is None:
        return None
    flops = flops_of(step.stage, config, shape) / (processes if machine.is_gpu else 1)
    used = USED if machine.is_gpu else 1.0
    peak = f"{machine.peak / 1e12:.3g} TFLOP/s"
    how = f"{USED:.0%} of {peak}" if machine.is_gpu else peak
    return Pace(seconds=flops / (used * machine.peak), source=f"by {flops:.2g} FLOP at {how}")


def timed(other: Artifact, step: Step) -> Pace | None:
    """The pace of an earlier artifact, if it trained the same model in steps that can be compared.

    A step of more rows takes as much longer.
    """
    if not other.is_readable or other.manifest["label"] != step.label:
        return None
    said = other.manifest
    old, new = said["identity"], step.identity
    if old["groups"].get("backbone") != new["groups"].get("backbone"):
        return None
    rows = old["knobs"].get("batch_size"), new["knobs"].get("batch_size")
    steps = said["metrics"].get("steps")
    if not (all(rows) and steps and said["seconds"]):
        return None
    seconds = said["seconds"] / steps * rows[1] / rows[0]
    return Pace(seconds=seconds, source=f"as {other.id} took")


def tokens_of(stage: Any, config: Config) -> int:
    """Tokens of a row, by its history and its candidates; those of pretraining have no frame."""
    if hasattr(stage, "items_per_row"):
        return int(stage.items_per_row * line_of(config))
    prepare = config.stages["prepare"]
    candidates = int(prepare.train_protocol[3:]) + 1
    return int((prepare.history_length + candidates) * line_of(config) + FRAME)


def line_of(config: Config) -> float:
    """Tokens of an item's line; a caption's words come to four tokens for three."""
    line = TITLE + (1 if getattr(config.backbone, "item_tokens", False) else MARKER)
    if config.prompt.captions is not True:
        return line
    return line + 4 / 3 * (config.prompt.caption_words or 20)


def flops_of(stage: Any, config: Config, shape: Shape) -> float:
    """Operations of an optimiser step: twice its parameters a token that goes forward.

    Backward costs as much, and once more where the weights themselves are trained; checkpointing
    goes forward again. GRPO scores its prompts under the reference too, where beta is not 0.
    """
    tokens = stage.batch_size * tokens_of(stage, config)
    passes = 2.0 + (not hasattr(stage, "lora")) + stage.gradient_checkpointing
    if hasattr(stage, "num_generations"):
        algorithm = config.algorithm
        passes += 1.0 if stage.beta else 0.0
        if algorithm.rollout in ("sample", "beam"):
            room = stage.max_completion_length or TITLE + MARKER
            written = stage.batch_size * stage.num_generations * room
            tokens += written  # scored like the prompts
            # written one at a time, at a tenth of the pace that a whole prompt is read at
            return 2.0 * shape.body * (passes * tokens + 10.0 * written)
    return 2.0 * shape.body * passes * tokens
