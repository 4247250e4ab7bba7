"""The one ear: every text that a model wrote is read here, and nowhere else."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from mllmrec.prompt import shown_title, unescape

Verdict = Literal["candidate", "outside", "malformed"]
_ANSWER = re.compile(r"\[ITEM_([^\[\]<>\s]+)\](?:\s+(.+))?")


@dataclass(frozen=True)
class Answer:
    """An item that a model named, and the title that it gave it, if it gave one."""

    item_id: str
    title: str | None


def parse(text: str) -> Answer | None:
    """Read ``[ITEM_id]`` or ``[ITEM_id] Title``; None where the text is neither.

    Read is what follows the last ``</think>`` (all of it where there is none), and of that the
    first line that is not blank; later lines are ignored. Anything before the bracket on that
    line, and an id that ``prompt.escape`` would have written otherwise, make it malformed.
    """
    return next(iter(parse_list(text)), None)


def parse_list(text: str) -> list[Answer | None]:
    """Read a list of answers, one a line, each as ``parse`` does; blank lines are none."""
    lines = text.rpartition("</think>")[2].split("\n")
    return [_read(line.strip()) for line in lines if line.strip()]


def judge(
    answer: Answer | None, candidates: Collection[str], titles: Mapping[str, str] | None = None
) -> Verdict:
    """Tell whether an answer names a candidate, an item outside the list, or is malformed.

    ``titles`` are those that the prompt showed (``Prompt.shown``): an answer whose title is not
    the one of its id is malformed. An answer without a title is never judged by it, and an id
    that has no title there does not exist, so it is outside unless it is a candidate.
    """
    if answer is None or not _agrees(answer, titles or {}):
        return "malformed"
    return "candidate" if answer.item_id in candidates else "outside"


def _read(line: str) -> Answer | None:
    match = _ANSWER.fullmatch(line)
    item_id = unescape(match[1]) if match else None
    if match is None or item_id is None:
        return None
    return Answer(item_id, shown_title(match[2]) or None)


def _agrees(answer: Answer, titles: Mapping[str, str]) -> bool:
    if answer.title is None or answer.item_id not in titles:
        return True
    return answer.title == shown_title(titles[answer.item_id])
