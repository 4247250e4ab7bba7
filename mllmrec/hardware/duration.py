"""How long a trained stage takes: as an earlier one did, or by the operations that it comes to."""

from dataclasses import dataclass
from typing import Any

from mllmrec.artifacts import Artifact, Store
from mllmrec.dataset.candidates import FULL, parsed
from mllmrec.hardware.machine import ELSEWHERE, Machine
from mllmrec.hardware.shape import Shape
from mllmrec.plan import Step
from mllmrec.schema import Config

WRITTEN = ("sample", "beam", "lists")  # rollouts that decode, token by token
USED = 0.4  # share of a GPU's peak that training reaches; assumed
# Tokens, assumed: of an item's title, of its [ITEM_id] where that is not one token, of the rest of
# a prompt.
TITLE, MARKER, FRAME = 5, 7, 40


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds an optimiser step, and in words where they are known from."""

    seconds: float
    source: str


FEW = 10  # optimiser steps


def steps_of(stage: Any, samples: int | None) -> int | None:
    """Optimiser steps of a stage; None where they hang on what is not known yet.

    That is a number of samples, or, of SFT for as many tokens, what GRPO will have read.
    """
    if getattr(stage, "match", None) == "tokens":
        return None
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
        if pace and machine.name != ELSEWHERE:  # what took that long was here
            return pace
    if machine.peak is None:
        return None
    each = flops_of(step.stage, config, shape) + probing_of(step.stage, config, shape)
    flops = each / (processes if machine.is_gpu else 1)
    used = USED if machine.is_gpu else 1.0
    peak = f"{machine.peak / 1e12:.3g} TFLOP/s"
    how = f"{USED:.0%} of {peak}" if machine.is_gpu else peak
    return Pace(seconds=flops / (used * machine.peak), source=f"by {flops:.2g} FLOP at {how}")


def timed(other: Artifact, step: Step) -> Pace | None:
    """The pace of an earlier artifact, if it trained the same model in steps that can be compared.

    A step of more rows takes as much longer. Of fewer than ``FEW`` steps loading and the probe take
    most of the time, and nothing is told by it.
    """
    if not other.is_readable or other.manifest["label"] != step.label:
        return None
    said = other.manifest
    old, new = said["identity"], step.identity
    if old["groups"].get("backbone") != new["groups"].get("backbone"):
        return None
    rows = old["knobs"].get("batch_size"), new["knobs"].get("batch_size")
    steps = said["metrics"].get("steps")
    if not (all(rows) and steps and steps >= FEW and said["seconds"]):
        return None
    seconds = said["seconds"] / steps * rows[1] / rows[0]
    return Pace(seconds=seconds, source=f"as {other.id} took")


def tokens_of(stage: Any, config: Config) -> int:
    """Tokens of a row, by its history and its candidates; those of pretraining have no frame."""
    if hasattr(stage, "items_per_row"):
        return int(stage.items_per_row * line_of(config))
    return prompt_of(config.stages["prepare"].train_protocol, config)


def prompt_of(protocol: str, config: Config) -> int:
    """Tokens of a prompt with the candidates of a protocol."""
    items = config.stages["prepare"].history_length + listed_of(protocol)
    return int(items * line_of(config) + FRAME)


def listed_of(protocol: str) -> int:
    """The candidates that a prompt lists: the target and its negatives."""
    return 0 if protocol == FULL else parsed(protocol)[1] + 1


def line_of(config: Config) -> float:
    """Tokens of an item's line; a caption's words come to four tokens for three."""
    if config.prompt.captions is not True:
        return name_of(config)
    return name_of(config) + 4 / 3 * (config.prompt.caption_words or 20)


def name_of(config: Config) -> int:
    """Tokens that name an item, in a line or in an answer."""
    return TITLE + (1 if getattr(config.backbone, "item_tokens", False) else MARKER)


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
        if algorithm.rollout.name in WRITTEN:
            room = stage.max_completion_length or TITLE + MARKER
            written = stage.batch_size * stage.num_generations * room
            tokens += written  # scored like the prompts
            # written one at a time, at a tenth of the pace that a whole prompt is read at
            return 2.0 * shape.body * (passes * tokens + 10.0 * written)
    return 2.0 * shape.body * passes * tokens


def probing_of(stage: Any, config: Config, shape: Shape) -> float:
    """Operations of the probe, spread over the steps between two looks: it goes forward alone.

    Every candidate of a sample is scored as an answer to one prompt; with hints, there are two.
    Of the whole catalogue markers are scored, which are read off the prompt's end if they are
    tokens; if not, their number is not known before the data are, and they are left out.
    """
    probe = getattr(stage, "probe", None)
    if not probe:
        return 0.0
    views = 2 if "hints" in stage.inputs(config) else 1
    answers = listed_of(probe.protocol) * name_of(config)
    tokens = probe.samples * views * (prompt_of(probe.protocol, config) + answers)
    return 2.0 * shape.body * tokens / min(probe.every, stage.max_steps or probe.every)
