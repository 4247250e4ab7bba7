"""The knobs of optimisation that every trained stage has; values live in conf/stage/."""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mllmrec.errors import Refusal
from mllmrec.schema import Model, NoEffect

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
# of a stage; an identity has it beside the knobs (``Stage.seed_of``)
Seed = Annotated[Annotated[int, Field(ge=0, lt=2**31)] | None, NoEffect()]


class Optimisation(Model):
    """One run of an optimiser: AdamW, under TRL's and transformers' own names.

    ``batch_size`` is in sequences an optimiser step, of which ``tokens_per_batch`` tokens are in
    memory at once. Exactly one of ``epochs`` and ``max_steps`` is set. What has no field goes
    through ``trainer_args``, which TRL validates.
    """

    learning_rate: Positive
    lr_scheduler_type: Literal["constant", "constant_with_warmup", "linear", "cosine"]
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    adam_beta2: Annotated[float, Field(gt=0, lt=1)]
    max_grad_norm: Positive
    batch_size: Count
    tokens_per_batch: Count
    epochs: Positive | None
    max_steps: Count | None
    gradient_checkpointing: bool
    trainer_args: dict[str, Any]
    save_steps: Annotated[Count, NoEffect()]
    logging_steps: Count

    @model_validator(mode="after")
    def check_length(self) -> Self:
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError("exactly one of epochs and max_steps must be set, the other null")
        if self.save_steps % self.logging_steps:
            # else a resumed run would average its first metrics over fewer steps
            raise ValueError("save_steps must be a multiple of logging_steps")
        return self


class Lora(Model):
    """Low-rank adapter: rank, scale alpha/r, dropout; which modules is the backbone's to say.

    ``item_rows`` also trains the embedding rows of the item tokens (and, where embeddings are
    tied, the same rows of the output head), which low-rank updates of linear layers cannot reach.
    """

    r: Count
    alpha: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    item_rows: bool


class ProbeOptions(Model):
    """A fixed set of validation samples, ranked every so many optimiser steps.

    ``keep=best`` publishes the adapter of the step with the highest NDCG@5 on the probe,
    ``last`` that of the last step.
    """

    samples: Count
    protocol: str
    every: Count
    keep: Literal["best", "last"]


class SftOptions(Optimisation):
    """``cot_prob``: share of samples with a rationale (p_CoT); ``history_loss``: share of samples
    whose history is learnt too, as next-item text, beside the answer.
    """

    cot_prob: Share
    history_loss: Share
    lora: Lora
    probe: ProbeOptions | None


class PretrainOptions(Optimisation):
    """``items_per_row``: most interactions in a row, and ``cuts`` the ways of cutting a user's
    into rows; ``framed``: rows that come once more in the chat format, by rows of plain text
    (0.4: two for every five). ``dropout``: of the embeddings and of the last hidden states, where
    few interactions are read many times.
    """

    items_per_row: Annotated[int, Field(ge=2)]
    cuts: Count
    framed: Share
    dropout: Annotated[float, Field(ge=0, lt=1)]


class GrpoOptions(Optimisation):
    """``batch_size`` is in prompts, each with its ``num_generations`` (G) completions.

    ``beta``: weight of the KL term against the merged SFT model (β). ``num_iterations``: optimiser
    steps that a batch of rollouts is learnt from (μ). ``max_completion_length``: in
    tokens; null is the longest answer. ``vllm``: sampled answers are written by vLLM.
    ``stop_on_inflation``: looks of the probe in a row after which an inflated reward ends the
    run (``training.inflation``); null only charts it. ``seed``: of everything random here but
    which samples the probe has; null is the top's, so that several share all that lies below.
    """

    seed: Seed
    cot_prob: Share
    beta: Annotated[float, Field(ge=0)]
    num_generations: Annotated[int, Field(ge=2)]
    num_iterations: Count
    max_completion_length: Count | None
    vllm: bool
    stop_on_inflation: Count | None
    lora: Lora
    probe: ProbeOptions | None


def check_trainer_args(
    label: str, asked: Iterable[str], idle: Collection[str], own: Collection[str] = ()
) -> None:
    """Refuse fields that TRL would take and this trainer would not heed.

    Raises:
        Refusal: one of ``asked`` is among ``idle``, or a knob of the stage's ``own``.
    """
    if found := sorted(set(asked) & set(own)):
        raise Refusal(
            f"{label}.trainer_args: {', '.join(found)} would be told twice",
            allowed=f"fields of TRL's config that are no knobs of {label}",
            do=f"type {label}.{found[0]}=VALUE, and leave it out of {label}.trainer_args",
        )
    if found := sorted(set(asked) & set(idle)):
        raise Refusal(
            f"{label}.trainer_args: {', '.join(found)} would have no effect",
            allowed=f"other fields of TRL's config, which {label} hands on",
            do=f"leave {found[0]} out of {label}.trainer_args",
        )


class Tolerance(Model):
    """Nats, by the type of the weights: merging rounds, and bfloat16 rounds to three digits."""

    float32: Positive
    bfloat16: Positive
