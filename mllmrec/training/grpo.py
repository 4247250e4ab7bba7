"""Group relative policy optimisation through TRL, on the merged SFT model with a new adapter."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets import Dataset as Rows
from transformers import set_seed
from trl import GRPOConfig

from mllmrec.algorithm.base import Algorithm
from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import load_model, load_tokenizer
from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import render_all
from mllmrec.reward.base import Reward
from mllmrec.schema import Words
from mllmrec.stage.base import Job, Metrics
from mllmrec.training.adapter import lora_config
from mllmrec.training.data import check_lengths
from mllmrec.training.grpo_trainer import EnumeratingTrainer, Trainer
from mllmrec.training.options import GrpoOptions
from mllmrec.training.probe import Probe, ProbeCallback
from mllmrec.training.rationales import choose, read
from mllmrec.training.session import arguments, publish_adapter, seed_for, train

THINKING = {"enable_thinking": False}  # as Prompt.encode renders; the prompts must be the same


def run_grpo(options: GrpoOptions, job: Job, label: str) -> Metrics:
    """Train an adapter on the merged model by its rewards and leave it in ``job.out``."""
    backbone, prompt, words = job.group(Backbone), job.group(Prompt), job.group(Words)
    prepared = Prepared(job.inputs["prepare"])
    tokenizer: Any = load_tokenizer(job.inputs["model"])
    set_seed(seed_for(job.seed, label))
    model = load_model(job.inputs["model"], backbone)
    rows = prompt_rows(options, job, prepared, prompt, words, label)
    answers = {
        item: prompt.encode_answer(tokenizer, prompt.answer_text(item, title))
        for item, title in prepared.titles.items()
    }
    room = room_for(answers, options)
    texts = [row["prompt"][0]["content"] for row in rows]
    limit = model.config.max_position_embeddings
    check_lengths(prompt.encode_all(tokenizer, texts), limit, room)
    rewards: Mapping[str, Reward] = job.groups["reward"]
    kind = EnumeratingTrainer if job.group(Algorithm).rollout == "enumerate" else Trainer
    trainer = kind(
        model=model,
        reward_funcs=[
            judge(name, reward, prompt.shown(prepared.titles)) for name, reward in rewards.items()
        ],
        args=grpo_arguments(options, job, rewards, room, label),
        train_dataset=Rows.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora_config(options.lora, backbone, tokenizer),
    )
    trainer.answers = answers
    if options.probe:
        probe = Probe(options.probe, prepared, prompt, words, tokenizer, job.seed)
        trainer.add_callback(ProbeCallback(probe, options.probe, job.scratch / "best", job.log))
    metrics = train(trainer, job, label)
    publish_adapter(trainer.model, options.probe, job)
    return metrics


def grpo_arguments(
    options: GrpoOptions, job: Job, rewards: Mapping[str, Reward], room: int, label: str
) -> GRPOConfig:
    return arguments(
        GRPOConfig,
        options,
        job,
        label,
        rows=options.num_generations,
        beta=options.beta,
        num_generations=options.num_generations,
        max_completion_length=room,
        reward_weights=[reward.weight for reward in rewards.values()],
        chat_template_kwargs=THINKING,
        disable_dropout=True,  # rollouts, policy and reference are one distribution at the start
        **job.group(Algorithm).trainer_args(),
    )


def prompt_rows(
    options: GrpoOptions, job: Job, prepared: Prepared, prompt: Prompt, words: Words, label: str
) -> list[dict[str, Any]]:
    """One row a training sample: the conversation, and what its reward must know of it."""
    samples = prepared.samples("train")
    if len(samples) < options.batch_size:  # TRL would train no step at all, and say nothing
        raise Refusal(
            f"grpo.batch_size={options.batch_size}: there are {len(samples)} training samples",
            allowed="at least one whole step of prompts",
            do=f"type grpo.batch_size={len(samples)} grpo.micro_batch_size=1, or add data",
        )
    hints = choose(samples["sample_id"], read(job.inputs), options.cot_prob, job.seed, label)
    texts = render_all(samples, "train", prepared, prompt, words, hints)
    columns = zip(samples["sample_id"], texts, samples["target"], samples["train"], strict=True)
    return [
        {
            "sample_id": id,
            "prompt": prompt.messages(text),
            "target": target,
            "candidates": candidates.to_list(),
        }
        for id, text, target, candidates in columns
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
