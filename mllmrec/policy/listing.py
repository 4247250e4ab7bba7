"""Lists of items as models write them: where the target stands, and what is wrong with the rest."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from mllmrec.answer import judge, parse_list
from mllmrec.ranking import MISSED

LISTS: dict[str, Any] = {  # the columns of Heard
    "ranked": pl.List(pl.String),
    "rank": pl.Int64,
    "lines": pl.Int64,
    "invalid": pl.Int64,
    "repeated": pl.Int64,
    "outside": pl.Int64,
    "text": pl.String,
}
FAULTS = ("invalid", "repeated", "outside")  # counted by line; a line may have two of them


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What one text says.

    ``ranked`` are the items of its well-formed lines, in order: a repeated item, and one that is
    no candidate, takes a place too. ``rank`` is the target's place, from 1, or MISSED. Of
    ``lines``, ``invalid`` are malformed, ``repeated`` name an item once more, ``outside`` name
    what is no candidate.
    """

    ranked: list[str]
    rank: int
    lines: int
    invalid: int
    repeated: int
    outside: int
    text: str


def hear(text: str, candidates: Collection[str], target: str, titles: Mapping[str, str]) -> Heard:
    """Read a list; ``titles`` are those that the prompt showed, as for ``answer.judge``."""
    answers = parse_list(text)
    verdicts = [judge(answer, candidates, titles) for answer in answers]
    ranked = [
        answer.item_id
        for answer, verdict in zip(answers, verdicts, strict=True)
        if answer and verdict != "malformed"
    ]
    return Heard(
        ranked=ranked,
        rank=ranked.index(target) + 1 if target in ranked else MISSED,
        lines=len(answers),
        invalid=verdicts.count("malformed"),
        repeated=len(ranked) - len(set(ranked)),
        outside=verdicts.count("outside"),
        text=text,
    )


def rates(heard: pl.DataFrame) -> dict[str, float]:
    """The share of all lines that has each fault, and of samples without a well-formed line.

    ``heard`` has a row a sample, and the columns ``LISTS``. Where there is no line at all
    there is no fault of one, and every sample is empty.
    """
    lines = max(int(heard["lines"].sum()), 1)
    found = {fault: int(heard[fault].sum()) / lines for fault in FAULTS}
    return found | {"empty": (heard["ranked"].list.len().to_numpy() == 0).mean().item()}
