"""Samples as prompts and token rows: the same rendering for SFT, GRPO and evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.schema import Words


def render_all(
    samples: pl.DataFrame,
    protocol: str,
    prepared: Prepared,
    prompt: Prompt,
    words: Words,
    rationales: Mapping[str, str] | None = None,
) -> list[str]:
    """The user's message of every sample; rationales are looked up by the sample's id."""
    rationales = rationales or {}
    spoken = words.model_dump()
    rows = zip(samples["sample_id"], samples["history"], samples[protocol], strict=True)
    return [
        prompt.render(
            history.to_list(), candidates.to_list(), prepared.titles, spoken, rationales.get(id)
        )
        for id, history, candidates in rows
    ]


def answered_rows(
    texts: Sequence[str], targets: Sequence[str], prepared: Prepared, prompt: Prompt, tokenizer: Any
) -> list[dict[str, list[int]]]:
    """``input_ids`` and ``labels`` of every prompt with its answer; the loss is on the answer."""
    answers = {
        item: prompt.encode_answer(tokenizer, prompt.answer_text(item, prepared.titles[item]))
        for item in set(targets)
    }
    rows = []
    for ids, target in zip(prompt.encode_all(tokenizer, texts), targets, strict=True):
        answer = answers[target]
        rows.append({"input_ids": [*ids, *answer], "labels": [-100] * len(ids) + answer})
    return rows


def check_lengths(rows: Sequence[Sequence[int]], limit: int, room: int = 0) -> None:
    """Refuse rows that the model could only take cut.

    Raises:
        Refusal: a row and the ``room`` for its answer are longer than ``limit`` tokens.
    """
    longest = max(map(len, rows), default=0) + room
    if longest > limit:
        raise Refusal(
            f"a prompt with its answer is {longest} tokens long, the model takes {limit}",
            allowed="prompts within the model's limit: nothing is ever cut in silence",
            do="type a smaller prepare.history_length, prompt.title_words or protocol",
        )
