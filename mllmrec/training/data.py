"""Prompts with their answers as token rows, never cut."""

from collections.abc import Sequence
from typing import Any

from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared


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
