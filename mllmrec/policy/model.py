"""A language model as a policy: each candidate by the log-probability of its answer."""

import logging
import sys
from pathlib import Path
from typing import Any

import polars as pl
import torch
from tqdm.auto import tqdm

from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import dtype_of, load_model, load_tokenizer
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import render_all
from mllmrec.schema import Words
from mllmrec.scoring.packed import answer_logps
from mllmrec.stage.base import Job
from mllmrec.training.adapter import load_adapter
from mllmrec.training.data import check_lengths

log = logging.getLogger(__name__)


class ModelPolicy:
    """The model that a job's inputs make: a base, and an adapter merged into it in memory."""

    def __init__(self, job: Job, tokens_per_batch: int) -> None:
        self.backbone, self.prompt = job.group(Backbone), job.group(Prompt)
        self.words, self.tokens_per_batch = job.group(Words), tokens_per_batch
        base = job.inputs.get("model") or self.backbone.fetch()
        self.tokenizer: Any = load_tokenizer(base)
        self.model = load(base, job.inputs.get("adapter"), self.backbone)

    def by_prompt(self, prepared: Prepared, samples: pl.DataFrame, protocol: str) -> Any:
        """Scores of the answers to the candidate prompt: log p(answer | prompt), in nats."""
        texts = render_all(samples, protocol, prepared, self.prompt, self.words)
        encode, titles = self.prompt.encode_answer, prepared.titles
        answer = {
            item: encode(self.tokenizer, self.prompt.answer_text(item, titles[item]))
            for item in set(samples[protocol].explode())
        }
        prompts = self.prompt.encode_all(self.tokenizer, texts)
        return self.score(prompts, samples[protocol], answer, protocol)

    def by_text(self, prepared: Prepared, samples: pl.DataFrame, protocol: str) -> Any:
        """Scores of the candidates as the next line of the history, as it was pre-trained."""
        titles = prepared.titles
        histories = [self.prompt.history_text(h, titles) for h in samples["history"]]
        prompts = self.tokenizer(histories, add_special_tokens=False)["input_ids"]
        items = sorted(set(samples[protocol].explode()))
        lines = [self.prompt.history_text([item], titles) for item in items]
        ids = self.tokenizer(lines, add_special_tokens=False)["input_ids"]
        return self.score(prompts, samples[protocol], dict(zip(items, ids, strict=True)), protocol)

    def score(
        self, prompts: list[list[int]], candidates: Any, answer: dict[str, list[int]], name: str
    ) -> list[list[float]]:
        longest = max(map(len, answer.values()))
        check_lengths(prompts, self.model.config.max_position_embeddings, longest)
        answers = [[answer[item] for item in row] for row in candidates]
        quiet = not sys.stderr.isatty()
        with tqdm(total=len(prompts), desc=name, unit="prompt", disable=quiet) as bar:
            return answer_logps(
                self.model,
                prompts,
                answers,
                self.tokenizer.pad_token_id,
                self.tokens_per_batch,
                progress=bar.update,
            )


def load(base: Path, adapter: Path | None, backbone: Backbone) -> Any:
    """The model, ready to score.

    In float32 an adapter is merged in memory, which spares its own products; in bfloat16 merging
    would round small updates away.
    """
    model: Any = load_model(base, backbone)
    if adapter:
        model = load_adapter(model, adapter)
        if dtype_of(backbone) == torch.float32:
            model = model.merge_and_unload()
    return model.eval()
