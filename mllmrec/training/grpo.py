"""Group relative policy optimisation through TRL, on the merged SFT model with a new adapter."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import polars as pl
import torch
from transformers import set_seed
from trl import GRPOConfig

from mllmrec.algorithm.base import Algorithm
from mllmrec.answer import judge as verdict_of
from mllmrec.answer import parse
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
from mllmrec.training.catalogue import Catalogue
from mllmrec.training.exact import Exhausting
from mllmrec.training.grpo_trainer import Trainer
from mllmrec.training.known import Known
from mllmrec.training.latent import Trying
from mllmrec.training.lists import Listing, longest
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
    "exhaust": Exhausting,
    "latent": Trying,
    "lists": Listing,
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
        item: tuple(prompt.encode_answer(tokenizer, prompt.answer_text(item, title)))
        for item, title in prepared.titles.items()
    }
    algorithm, titles = job.group(Algorithm), prompt.shown(prepared.titles)
    items = getattr(algorithm.rollout, "items", None)  # of a list; null where it is one answer
    room = room_for(longest(answers, items, tokenizer), options)
    limit = positions_of(model)
    ids = sample_ids(prepared, "train")
    check_enough(options, len(ids))
    hints = carried(job.inputs, ids, options.cot_prob, job.seed, label)
    counts: Counter[str] = Counter()
    make = row_maker(prepared, prompt, words, tokenizer, limit, room, hints, counts, items)
    rows = stored(blocks(prepared, "train"), make, job.scratch / "rows.arrow")
    rewards: Mapping[str, Reward] = job.groups["reward"]
    embeddings = model.get_input_embeddings().weight  # before an adapter is put around them
    kind = Trainer if options.vllm else KINDS[algorithm.rollout.name]
    trainer = kind(
        model=model,
        reward_funcs=[judge(name, reward, titles) for name, reward in rewards.items()],
        args=grpo_arguments(options, job, rewards, room, label),
        train_dataset=rows.remove_columns("ids"),  # TRL would walk them at every step
        processing_class=tokenizer,
        peft_config=lora_config(options.lora, backbone, tokenizer),
    )
    equip(trainer, options, algorithm, Known(answers, embeddings), titles)
    if not lengths(rows, "candidates").any():  # a sample that lists any has its target at least
        trainer.catalogue = Catalogue(prepared, answers)
    trainer.prompts = Prompts(rows)
    if options.probe:
        probe = Probe(
            *(options.probe, prepared, prompt, words, tokenizer, limit, job.sample_seed),
            hints=drafts(job.inputs["hints"]) if "hints" in job.inputs else None,
            rewards=rewards,
        )
        watch = ProbeCallback(
            probe,
            options.probe,
            job.scratch / "best",
            job.log,
            patience=options.stop_on_inflation,
            is_like_training=algorithm.rollout.draws_candidates,
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
    label: str,
) -> GRPOConfig:
    return arguments(
        GRPOConfig,
        options,
        job,
        label,
        rows=options.num_generations,
        beta=options.beta,
        num_generations=options.num_generations,
        num_iterations=options.num_iterations,
        steps_per_generation=1,  # a step is one batch, so its groups are whole
        max_completion_length=room,
        reward_weights=[reward.weight for reward in rewards.values()],
        use_vllm=options.vllm,
        vllm_mode="colocate",
        router_aux_loss_coef=0.0,  # log-probabilities are all that the shared forward gives
        disable_dropout=True,  # rollouts, policy and reference are one distribution at the start
        **job.group(Algorithm).trainer_args(vllm=options.vllm),
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


def equip(
    trainer: Any,
    options: GrpoOptions,
    algorithm: Algorithm,
    known: Known,
    titles: Mapping[str, str],
) -> None:
    """Hand a trainer what TRL's constructor has no place for."""
    if options.vllm:
        trainer.answers, trainer.tokens_per_batch = known.answers, options.tokens_per_batch
        return
    trainer.compose(algorithm, known, hearer(titles), options.tokens_per_batch)
    epochs = options.epochs or (options.max_steps or 0) * options.batch_size / len(
        trainer.train_dataset
    )
    if isinstance(trainer, Enumerating) and trainer.needs_reference and epochs > 1:
        trainer.kept = None if trainer.more_or_synced else ReferenceScores()


def hearer(titles: Mapping[str, str]) -> Callable[[str, Collection[str]], str | None]:
    """What reads a completion as the candidate that it names, None where it names none."""

    def hear(text: str, candidates: Collection[str]) -> str | None:
        answer = parse(text)
        named = answer is not None and verdict_of(answer, candidates, titles) == "candidate"
        return answer.item_id if named and answer else None

    return hear


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
    items: int | None = None,
) -> Callable[[pl.DataFrame], list[dict[str, Any]]]:
    """What makes training samples prompts, a share of them with a rationale, none too long.

    ``counts`` gathers what had to be left out for it; ``items`` are those of a list that is asked
    for, None where one answer is.
    """
    thinking = prompt.inject == "completion"

    def make(some: pl.DataFrame) -> list[dict[str, Any]]:
        fit = fitted(
            *(
                some,
                "train",
                prepared,
                prompt,
                words,
                tokenizer,
                limit,
                room,
                hints,
                thinking,
                items,
            )
        )
        counts.update(fit.counts)
        return prompt_rows(fit, prompt, hints)

    return make


def prompt_rows(
    fit: Fitted[Encoded], prompt: Prompt, hinted: Collection[str]
) -> list[dict[str, Any]]:
    """One row a sample: the conversation and its tokens, and what its reward must know of it."""
    samples = fit.samples
    known = (samples[name] for name in ("target", "train", "history", "user_id"))
    columns = zip(samples["sample_id"], fit.made, *known, strict=True)
    return [
        {
            "sample_id": id,
            "prompt": prompt.messages(made.text),
            "ids": made.ids,
            "target": target,
            "candidates": candidates.to_list(),
            "history": history.to_list(),
            "user_id": user,
            "hinted": id in hinted,
        }
        for id, made, target, candidates, history, user in columns
    ]


def room_for(longest: int, options: GrpoOptions) -> int:
    """The tokens that a completion may have: what was asked, or the longest answer's.

    Raises:
        Refusal: an answer would not fit.
    """
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
