"""A language model as a policy: each candidate by the log-probability of its answer."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import dtype_of, load_model, load_tokenizer
from mllmrec.dataset.candidates import FULL
from mllmrec.dataset.full import Open, Scored, chunks, unlisted
from mllmrec.parallel.sharding import spread
from mllmrec.policy.full import Way
from mllmrec.progress import Bar
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import fitted, render_all, shortened
from mllmrec.schema import Words
from mllmrec.scoring.attention import positions_of
from mllmrec.scoring.catalogue import catalogue_logps
from mllmrec.scoring.choosers import Node, pruned, tree
from mllmrec.scoring.decode import greedy, searched
from mllmrec.scoring.packed import answer_logps
from mllmrec.stage.base import Job
from mllmrec.training.adapter import load_adapter
from mllmrec.training.catalogue import markers

log = logging.getLogger(__name__)


class ModelPolicy:
    """The model that a job's inputs make: a base, and an adapter merged into it in memory."""

    def __init__(self, job: Job, tokens_per_batch: int) -> None:
        self.backbone, self.prompt = job.group(Backbone), job.group(Prompt)
        self.words, self.tokens_per_batch = job.group(Words), tokens_per_batch
        base = job.inputs.get("model") or self.backbone.fetch()
        self.tokenizer: Any = load_tokenizer(base)
        self.model = load(base, job.inputs.get("adapter"), self.backbone)
        self.limit = positions_of(self.model)

    def by_prompt(
        self,
        prepared: Prepared,
        samples: pl.DataFrame,
        protocol: str,
        rationales: Mapping[str, str] | None = None,
    ) -> Any:
        """Scores of the answers to the candidate prompt: log p(answer | prompt), in nats."""
        answer = self.answers(prepared, samples[protocol])
        room = max(map(len, answer.values()))
        fit = fitted(
            samples,
            protocol,
            prepared,
            self.prompt,
            self.words,
            self.tokenizer,
            self.limit,
            room,
            rationales,
        )
        return self.score([one.ids for one in fit.made], samples[protocol], answer, protocol)

    def means(
        self,
        prepared: Prepared,
        samples: pl.DataFrame,
        protocol: str,
        rationales: Mapping[str, str],
    ) -> list[list[float]]:
        """Mean log-probability of a token of each answer: ``by_prompt`` over its length."""
        answer = self.answers(prepared, samples[protocol])
        scores = self.by_prompt(prepared, samples, protocol, rationales)
        return [
            [score / len(answer[item]) for item, score in zip(items, row, strict=True)]
            for items, row in zip(samples[protocol].to_list(), scores, strict=True)
        ]

    def answers(self, prepared: Prepared, items: pl.Series) -> dict[str, list[int]]:
        """The tokens of the answer that names each item of a column of candidates."""
        prompt, titles = self.prompt, prepared.titles
        return {
            item: prompt.encode_answer(self.tokenizer, prompt.answer_text(item, titles[item]))
            for item in set(items.explode())
        }

    def by_text(self, prepared: Prepared, samples: pl.DataFrame, protocol: str) -> Any:
        """Scores of the candidates as the next line of the history, as it was pre-trained."""
        known = prepared.titles, prepared.captions
        items = sorted(set(samples[protocol].explode()))
        lines = [self.prompt.history_text([item], *known) for item in items]
        ids = self.tokenizer(lines, add_special_tokens=False)["input_ids"]
        answer = dict(zip(items, ids, strict=True))
        prompts = self.histories(prepared, samples, max(map(len, ids)))
        return self.score(prompts, samples[protocol], answer, protocol)

    def histories(self, prepared: Prepared, samples: pl.DataFrame, room: int) -> list[list[int]]:
        """Histories as raw lines, in tokens, with room behind them."""
        known = prepared.titles, prepared.captions

        def make(some: pl.DataFrame) -> list[list[int]]:
            histories = [self.prompt.history_text(h, *known) for h in some["history"]]
            return list(self.tokenizer(histories, add_special_tokens=False)["input_ids"])

        return shortened(samples, make, self.prompt, self.limit, room, size=len).made

    def whole(
        self,
        prepared: Prepared,
        whole: Open,
        way: Way,
        rationales: Mapping[str, str] | None = None,
        *,
        as_text: bool = False,
    ) -> Scored:
        """Scores of the whole catalogue behind prompts that list no candidates, or ``as_text``.

        A beam finds so many items of a sample's own candidates; the others are at −inf.
        """
        answers = self.catalogue(prepared, way, as_text)
        room = max(map(len, answers))
        if as_text:
            prompts = self.histories(prepared, whole.samples, room)
        else:
            samples, known = unlisted(whole.samples), (prepared, self.prompt, self.words)
            fit = fitted(samples, FULL, *known, self.tokenizer, self.limit, room, rationales)
            prompts = [one.ids for one in fit.made]
        with Bar(FULL, len(prompts), "prompt") as bar:
            if way.method == "beam":
                yield from self.beams(prompts, answers, whole, way.beam, bar)
            else:
                told = self.model, prompts, answers, self.tokens_per_batch
                yield from catalogue_logps(*told, progress=bar.step)

    def catalogue(self, prepared: Prepared, way: Way, as_text: bool) -> list[list[int]]:
        """The tokens that stand for each item: its marker alone, or all of its answer or line."""
        if way.by == "id":
            return markers(prepared, self.prompt, self.tokenizer)
        items, known = prepared.items["item_id"], (prepared.titles, prepared.captions)
        if not as_text:
            answer = self.answers(prepared, items)
            return [answer[item] for item in items]
        lines = [self.prompt.history_text([item], *known) for item in items]
        return list(self.tokenizer(lines, add_special_tokens=False)["input_ids"])

    def beams(
        self, prompts: list[list[int]], answers: list[list[int]], whole: Open, width: int, bar: Bar
    ) -> Scored:
        """What a search of this width finds among each sample's candidates."""
        root, column = tree(answers), {tuple(answer): i for i, answer in enumerate(answers)}
        for some in chunks(len(prompts), len(answers)):
            rows = range(*some.indices(len(prompts)))
            found = searched(
                self.model,
                prompts[some],
                partial(candidates_of, root, answers, whole, some.start),
                width,
                room=max(map(len, answers)),
                pad_id=self.tokenizer.pad_token_id,
                tokens_per_batch=self.tokens_per_batch,
                progress=bar.step,
            )
            table = np.full((len(rows), len(answers)), -np.inf)
            for row, beams in zip(table, found, strict=True):
                for one in beams:
                    row[column[tuple(one.tokens)]] = sum(one.logps)
            yield some, table

    def lists(
        self, prepared: Prepared, samples: pl.DataFrame, protocol: str, items: int, room: int
    ) -> list[str]:
        """The texts of up to ``room`` tokens that the model writes, asked for so many items.

        Each token is the most probable one.
        """
        spoken = self.words.model_dump()
        thinking = self.prompt.inject == "completion"  # then a thought was learnt to come first

        def make(some: pl.DataFrame) -> list[list[int]]:
            texts = render_all(some, protocol, prepared, self.prompt, self.words)
            asked = [self.prompt.asking(text, items, spoken) for text in texts]
            return self.prompt.encode_all(self.tokenizer, asked, thinking)

        fit = shortened(samples, make, self.prompt, self.limit, room, size=len)
        with Bar(protocol, len(samples), "prompt") as bar:
            written = greedy(
                self.model,
                fit.made,
                ends=ends_of(self.model, self.tokenizer),
                pad_id=self.tokenizer.pad_token_id,
                room=room,
                tokens_per_batch=self.tokens_per_batch,
                progress=bar.step,
            )
        return list(
            self.tokenizer.batch_decode(
                [one.tokens for one in written],
                skip_special_tokens=True,
                clean_up_tokenization_spaces=False,
            )
        )

    def score(
        self, prompts: list[list[int]], candidates: Any, answer: dict[str, list[int]], name: str
    ) -> list[list[float]]:
        answers = [[answer[item] for item in row] for row in candidates]
        with Bar(name, len(prompts), "prompt") as bar:
            return answer_logps(
                self.model,
                prompts,
                answers,
                self.tokens_per_batch,
                progress=bar.step,
            )


def candidates_of(root: Node, answers: list[list[int]], whole: Open, first: int, row: int) -> Node:
    """The trie of the answers that are candidates of one sample, counted from ``first``."""
    return pruned(root, [answers[column] for column in whole.barred(first + row)])


def ends_of(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a text: that of the turn, and those that the model's authors name."""
    told = model.generation_config.eos_token_id
    more = told if isinstance(told, list) else [] if told is None else [told]
    return {tokenizer.eos_token_id, *more}


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
    return spread(model.eval())
