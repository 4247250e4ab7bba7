"""Supervised fine-tuning through TRL: a new adapter, loss on the answer alone."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from peft import get_peft_model
from transformers import set_seed
from trl import SFTConfig, SFTTrainer

from mllmrec import ranks
from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import load_model, load_tokenizer
from mllmrec.parallel.sharding import spread
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import render_all, shortened
from mllmrec.schema import Words
from mllmrec.scoring.attention import positions_of
from mllmrec.seeds import seed_for, share_of
from mllmrec.stage.base import Job, Metrics
from mllmrec.training.adapter import lora_config
from mllmrec.training.batching import LengthSampler, parts, steps_reading
from mllmrec.training.data import answered_rows
from mllmrec.training.options import SftOptions
from mllmrec.training.probe import Probe, ProbeCallback
from mllmrec.training.rationales import carried
from mllmrec.training.rows import blocks, lengths, sample_ids, stored
from mllmrec.training.session import TOKENS, arguments, last_of, publish_adapter, train

log = logging.getLogger(__name__)


class RowTrainer(SFTTrainer):
    """TRL's trainer with batches of like length, and the head on labelled positions alone.

    A batch is an optimiser step; ``tokens_per_batch`` of it are in memory at once. TRL's own fused
    head works on every position where there is no Triton (a prompt of 150 tokens for an answer of
    2), and reads the head's weight past PEFT's trainable rows.
    """

    def __init__(self, *, tokens_per_batch: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tokens_per_batch = tokens_per_batch
        self.read: float | None = None  # tokens, padding left out

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        is_step = self.read is not None and "train_runtime" not in logs
        super().log({**logs, **({TOKENS: self.read} if is_step else {})}, start_time)

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        super()._move_model_to_device(spread(model), device)

    def _get_train_sampler(self, dataset: Any = None) -> LengthSampler:
        return LengthSampler(lengths(self.train_dataset), self._train_batch_size, self.args.seed)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Forward and backward of the batch, part by part; gradients add up to the batch's.

        Each part is cropped to its longest row, whose padding is on the right, and its loss is
        over the number of labels in the whole batch, of which every rank takes a share. Returns
        the batch's loss.
        """
        count = num_items_in_batch
        if count is None:
            count = (inputs["labels"][:, 1:] != -100).sum()
        lengths = inputs["attention_mask"].sum(1).tolist()
        if self.read is None:  # a resumed run goes on from what its checkpoint had read
            self.read = last_of(self.state.log_history, TOKENS)
        self.read += sum(lengths)
        losses = []
        for rows, counts in ranks.parts(lengths, self.cut):
            longest = max(lengths[row] for row in rows)
            part = {name: column[rows, :longest] for name, column in inputs.items()}
            over = count if counts else float("inf")
            losses.append(super().training_step(model, part, over))
        ranks.sum_gradients(model.parameters())
        own = torch.stack(losses).sum() if losses else torch.zeros((), device=model.device)
        return ranks.summed(own)

    def cut(self, lengths: Sequence[int]) -> list[list[int]]:
        return parts(lengths, self.tokens_per_batch)

    def rehearse(self) -> None:
        """Forward and backward of the part of a batch that has most tokens; nothing is learnt."""
        found = lengths(self.train_dataset)
        longest = np.argsort(-found, kind="stable")[: self._train_batch_size].tolist()
        few = max(
            self.cut([int(found[row]) for row in longest]),
            key=lambda part: len(part) * max(found[longest[place]] for place in part),
        )
        rows = self.data_collator([self.train_dataset[longest[place]] for place in few])
        super().training_step(self.model, dict(rows), len(few))

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Mean negative log-likelihood of the labels, over the whole optimiser step's labels."""
        labels = inputs["labels"][:, 1:]
        columns = (labels != -100).any(0).nonzero()[:, 0]  # the head is applied to these alone
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            logits_to_keep=columns,
            use_cache=False,
        )
        wanted = labels[:, columns]
        loss = F.cross_entropy(
            outputs.logits.float().flatten(0, 1), wanted.flatten(), reduction="sum"
        )
        count = (wanted != -100).sum() if num_items_in_batch is None else num_items_in_batch
        loss = loss / torch.as_tensor(count).clamp(min=1)
        return (loss, outputs) if return_outputs else loss


def run_sft(options: SftOptions, job: Job, label: str, tokens: float | None = None) -> Metrics:
    """Train an adapter on the backbone (or on a merged model) and leave it in ``job.out``.

    With ``tokens`` for the fewest steps that read at least so many, instead of ``max_steps``.
    """
    backbone, prompt, words = job.group(Backbone), job.group(Prompt), job.group(Words)
    base = job.inputs.get("model") or backbone.fetch()
    prepared = Prepared.of(job.inputs)
    tokenizer: Any = load_tokenizer(base)
    set_seed(seed_for(job.seed, label))
    model = load_model(base, backbone)
    limit = positions_of(model)
    counts: Counter[str] = Counter()
    make = row_maker(options, job, prepared, prompt, words, tokenizer, limit, label, counts)
    rows = stored(blocks(prepared, "train"), make, job.scratch / "rows.arrow")
    if tokens is not None:
        sampler = LengthSampler(lengths(rows), options.batch_size, seed_for(job.seed, label))
        steps = steps_reading(tokens, sampler)
        log.info("%s: %d steps read the %.0f tokens that GRPO read", label, steps, tokens)
        options = options.model_copy(update={"epochs": None, "max_steps": steps})
    trainer = RowTrainer(
        model=get_peft_model(model, lora_config(options.lora, backbone, tokenizer)),
        args=arguments(
            SFTConfig,
            options,
            job,
            label,
            max_length=None,  # nothing is cut: the rows fit
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
        ),
        train_dataset=rows,
        processing_class=tokenizer,
        tokens_per_batch=options.tokens_per_batch,
    )
    if options.probe:
        probe = Probe(options.probe, prepared, prompt, words, tokenizer, limit, job.sample_seed)
        trainer.add_callback(ProbeCallback(probe, options.probe, job.scratch / "best", job.log))
    metrics = train(trainer, job, label)
    publish_adapter(trainer.model, options.probe, job)
    return {**metrics, **counts}


def row_maker(
    options: SftOptions,
    job: Job,
    prepared: Prepared,
    prompt: Prompt,
    words: Words,
    tokenizer: Any,
    limit: int,
    label: str,
    counts: Counter[str],
) -> Callable[[pl.DataFrame], list[dict[str, list[int]]]]:
    """What makes training samples candidate prompts with their answers, none too long.

    A share of them also learns its history's lines, and a share carries a rationale: as a hint in
    the prompt, or as a thought before the answer. ``counts`` gathers what had to be left out.
    """
    ids = sample_ids(prepared, "train")
    hints = carried(job.inputs, ids, options.cot_prob, job.seed, label)
    spoken, thinks = words.model_dump(), prompt.inject == "completion"

    def make(some: pl.DataFrame) -> list[dict[str, list[int]]]:
        texts = render_all(some, "train", prepared, prompt, words, {} if thinks else hints)
        learnt = [
            prompt.listed_history(history.to_list(), prepared.titles, spoken, prepared.captions)
            if share_of(job.seed, "history", id) < options.history_loss
            else None
            for id, history in zip(some["sample_id"], some["history"], strict=True)
        ]
        thoughts = [prompt.thought(hints.get(id)) for id in some["sample_id"]] if thinks else None
        return answered_rows(
            *(texts, some["target"].to_list(), prepared, prompt, tokenizer, learnt, thoughts)
        )

    def fit(some: pl.DataFrame) -> list[dict[str, list[int]]]:
        found = shortened(some, make, prompt, limit, size=lambda row: len(row["input_ids"]))
        counts.update(found.counts)
        return found.made

    return fit
