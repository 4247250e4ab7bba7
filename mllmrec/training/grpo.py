"""Group relative policy optimisation through TRL, on the merged SFT model with a new adapter."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl
import torch
from transformers import set_seed
from trl import GRPOConfig

from mllmrec.algorithm.base import Algorithm, draws_candidates
from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import load_model, load_tokenizer
from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import Encoded, Fitted, fitted
from mllmrec.reward.base import Reward
from mllmrec.schema import Words
from mllmrec.scoring.attention import positions_of
from mllmrec.seeds import seed_for
from mllmrec.stage.base import Job, Metrics
from mllmrec.training.adapter import lora_config
from mllmrec.training.exact import Exact
from mllmrec.training.grpo_trainer import Trainer
from mllmrec.training.options import GrpoOptions
from mllmrec.training.probe import Probe, ProbeCallback
from mllmrec.training.rationales import carried, drafts
from mllmrec.training.reference import ReferenceScores
from mllmrec.training.rollouts import Beaming, Enumerating, Sampling
from mllmrec.training.rows import Prompts, blocks, lengths, sample_ids, stored
from mllmrec.training.session import arguments, publish_adapter, train

KINDS: dict[str, type[Trainer]] = {
    "enumerate": Enumerating,
    "sample": Sampling,
    "beam": Beaming,
    "exact": Exact,
}


def run_grpo(options: GrpoOptions, job: Job, label: str) -> Metrics:
    """Train an adapter on the merged model by its rewards and leave it in ``job.out``."""
    backbone, prompt, words = job.group(Backbone), job.group(Prompt), job.group(Words)
    prepared = Prepared.of(job.inputs)
    if options.vllm:
        check_vllm()
    tokenizer: Any = load_tokenizer(job.inputs["model"])
    set_seed(seed_for(job.seed, label))
    model = load_model(job.inputs["model"], backbone)
    answers = {
        item: prompt.encode_answer(tokenizer, prompt.answer_text(item, title))
        for item, title in prepared.titles.items()
    }
    room = room_for(answers, options)
    limit = positions_of(model)
    ids = sample_ids(prepared, "train")
    check_enough(options, len(ids))
    hints = carried(job.inputs, ids, options.cot_prob, job.seed, label)
    counts: Counter[str] = Counter()
    make = row_maker(prepared, prompt, words, tokenizer, limit, room, hints, counts)
    rows = stored(blocks(prepared, "train"), make, job.scratch / "rows.arrow")
    group = group_size(options, job.group(Algorithm), lengths(rows, "candidates"))
    rewards: Mapping[str, Reward] = job.groups["reward"]
    kind = Trainer if options.vllm else KINDS[job.group(Algorithm).rollout]
    trainer = kind(
        model=model,
        reward_funcs=[
            judge(name, reward, prompt.shown(prepared.titles)) for name, reward in rewards.items()
        ],
        args=grpo_arguments(options, job, rewards, room, group, label),
        train_dataset=rows.remove_columns("ids"),  # TRL would walk them at every step
        processing_class=tokenizer,
        peft_config=lora_config(options.lora, backbone, tokenizer),
    )
    equip(trainer, options, job.group(Algorithm), answers)
    trainer.prompts = Prompts(rows)
    if options.probe:
        probe = Probe(
            *(options.probe, prepared, prompt, words, tokenizer, limit, job.seed),
            hints=drafts(job.inputs["hints"]) if "hints" in job.inputs else None,
            rewards=rewards,
        )
        watch = ProbeCallback(
            probe,
            options.probe,
            job.scratch / "best",
            job.log,
            patience=options.stop_on_inflation,
            is_like_training=draws_candidates(job.group(Algorithm)),
        )
        trainer.add_callback(watch)
    metrics = train(trainer, job, label)
    publish_adapter(trainer.model, options.probe, job)
    return {**metrics, **counts}


def grpo_arguments(
    options: GrpoOptions,
    job: Job,
    rewards: Mapping[str, Reward],
    room: int,
    group: int,
    label: str,
) -> GRPOConfig:
    return arguments(
        GRPOConfig,
        options,
        job,
        label,
        rows=group,
        beta=options.beta,
        num_generations=group,
        steps_per_generation=1,  # a step is one batch, so its groups are whole
        max_completion_length=room,
        reward_weights=[reward.weight for reward in rewards.values()],
        use_vllm=options.vllm,
        vllm_mode="colocate",
        router_aux_loss_coef=0.0,  # log-probabilities are all that the shared forward gives
        disable_dropout=True,  # rollouts, policy and reference are one distribution at the start
        **job.group(Algorithm).trainer_args(),
    )


def check_vllm() -> None:
    """Refuse vLLM where it cannot be, before anything is loaded."""
    if not (torch.cuda.is_available() and find_spec("vllm")):
        lacking = "the package vllm" if torch.cuda.is_available() else "a CUDA device"
        raise Refusal(
            f"grpo.vllm=true: {lacking} is not here",
            allowed="a machine with CUDA and pip install 'mllmrec[vllm]'",
            do="type grpo.vllm=false: answers are then written by the model itself",
        )


def group_size(options: GrpoOptions, algorithm: Algorithm, candidates: np.ndarray) -> int:
    """The completions of one prompt: as many as were asked for, or all candidates.

    Raises:
        Refusal: the prompts have unequal numbers of candidates, which no batch could hold.
    """
    if algorithm.rollout != "exact":
        return options.num_generations
    fewest, most = int(candidates.min()), int(candidates.max())
    if fewest < most:
        raise Refusal(
            f"algorithm=exact: prompts have from {fewest} to {most} candidates",
            allowed="as many candidates for every prompt",
            do="type algorithm=grpo, or prepare.train_protocol with fewer negatives",
        )
    return most


def equip(
    trainer: Any, options: GrpoOptions, algorithm: Algorithm, answers: Mapping[str, Sequence[int]]
) -> None:
    """Hand a trainer what TRL's constructor has no place for."""
    trainer.answers, trainer.tokens_per_batch = answers, options.tokens_per_batch
    trainer.constraint = algorithm.constrained
    trainer.by_std = getattr(algorithm, "scale_rewards", None) == "group"
    epochs = options.epochs or (options.max_steps or 0) * options.batch_size / len(
        trainer.train_dataset
    )
    if isinstance(trainer, Enumerating) and trainer.beta and epochs > 1:
        trainer.kept = ReferenceScores()


def check_enough(options: GrpoOptions, samples: int) -> None:
    """Refuse fewer samples than a step takes: TRL would train no step at all, and say nothing."""
    if samples < options.batch_size:
        raise Refusal(
            f"grpo.batch_size={options.batch_size}: there are {samples} training samples",
            allowed="at least one whole step of prompts",
            do=f"type grpo.batch_size={samples}, or add data",
        )


def row_maker(
    prepared: Prepared,
    prompt: Prompt,
    words: Words,
    tokenizer: Any,
    limit: int,
    room: int,
    hints: Mapping[str, str],
    counts: Counter[str],
) -> Callable[[pl.DataFrame], list[dict[str, Any]]]:
    """What makes training samples prompts, a share of them with a rationale, none too long.

    ``counts`` gathers what had to be left out for it.
    """
    thinking = prompt.inject == "completion"

    def make(some: pl.DataFrame) -> list[dict[str, Any]]:
        fit = fitted(
            *(some, "train", prepared, prompt, words, tokenizer, limit, room, hints, thinking)
        )
        counts.update(fit.counts)
        return prompt_rows(fit, prompt, hints)

    return make


def prompt_rows(
    fit: Fitted[Encoded], prompt: Prompt, hinted: Collection[str]
) -> list[dict[str, Any]]:
    """One row a sample: the conversation and its tokens, and what its reward must know of it."""
    samples = fit.samples
    columns = zip(samples["sample_id"], fit.made, samples["target"], samples["train"], strict=True)
    return [
        {
            "sample_id": id,
            "prompt": prompt.messages(made.text),
            "ids": made.ids,
            "target": target,
            "candidates": candidates.to_list(),
            "hinted": id in hinted,
        }
        for id, made, target, candidates in columns
    ]


def room_for(answers: Mapping[str, Sequence[int]], options: GrpoOptions) -> int:
    """The tokens that a completion may have: what was asked, or the longest answer's.

    Raises:
        Refusal: an answer would not fit.
    """
    longest = max(map(len, answers.values()))
    asked = options.max_completion_length
    if asked is not None and asked < longest:
        raise Refusal(
            f"grpo.max_completion_length={asked}: the longest answer has {longest} tokens",
            allowed=f"at least {longest}, so that no answer is cut, or null for just that",
            do="type grpo.max_completion_length=null",
        )
    return asked or longest


def judge(name: str, reward: Reward, titles: Mapping[str, str]) -> Callable[..., list[float]]:
    """A reward in the form that TRL calls: over a batch of completions and the rows' columns."""

    def rewards(
        completions: Sequence[Any],
        target: Sequence[str],
        candidates: Sequence[Sequence[str]],
        **_: Any,
    ) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        return [
            reward(text, target=t, candidates=c, titles=titles)
            for text, t, c in zip(texts, target, candidates, strict=True)
        ]

    rewards.__name__ = name  # TRL charts each reward under its function's name
    return rewards
