"""Prompts with their answers as token rows, never cut."""

from collections.abc import Sequence
from typing import Any

from mllmrec.prompt import Prompt
from mllmrec.records import Prepared


def answered_rows(
    texts: Sequence[str],
    targets: Sequence[str],
    prepared: Prepared,
    prompt: Prompt,
    tokenizer: Any,
    learnt: Sequence[str | None] | None = None,
    thoughts: Sequence[str] | None = None,
) -> list[dict[str, list[int]]]:
    """``input_ids`` and ``labels`` of every prompt with its answer.

    The loss is on the answer, and on the part of the prompt that ``learnt`` repeats (none where
    it is None): its history, say, whose lines are next-item text. ``thoughts`` (as
    ``Prompt.thought`` has them) are learnt too, before the answers.
    """
    answers = {
        item: prompt.encode_answer(tokenizer, prompt.answer_text(item, prepared.titles[item]))
        for item in set(targets)
    }
    chats = prompt.framed(tokenizer, texts, thinking=thoughts is not None)
    before = tokenizer(list(thoughts), add_special_tokens=False)["input_ids"] if thoughts else []
    encoded = tokenizer(chats, add_special_tokens=False, return_offsets_mapping=True)
    rows = []
    for row, (chat, target) in enumerate(zip(chats, targets, strict=True)):
        ids, answer = encoded["input_ids"][row], answers[target]
        if thoughts:
            answer = [*before[row], *answer]
        labels = [-100] * len(ids)
        if learnt and (part := learnt[row]):
            start = chat.index(part)
            spans = encoded["offset_mapping"][row]
            labels = labelled(ids, spans, start, start + len(part))
        rows.append({"input_ids": [*ids, *answer], "labels": labels + answer})
    return rows


def labelled(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], start: int, end: int
) -> list[int]:
    """The ids of tokens that lie within a span of characters, −100 for the others."""
    return [
        id if start <= first < last <= end else -100
        for id, (first, last) in zip(ids, spans, strict=True)
    ]
