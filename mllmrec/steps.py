"""Rationales in four steps: how they are asked for, read, and kept in one form.

The form is ``Step 1: …`` to ``Step 4: …``, a line each. Models write it in many ways, which
``steps_of`` reads; texts from data stand on one line each in what is asked, and open no tags.
"""

import re
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from mllmrec.asking import Asker, Fault, Reply, Request
from mllmrec.cases import Case, Shown
from mllmrec.pictures import BadPicture, opened
from mllmrec.prompt import FIELDS, disarmed, shown_title
from mllmrec.schema import Model, Words

COUNT = 4
_BEFORE, _AFTER = r"[ \t>#*_-]*", r"[ \t#*_]*"  # what Markdown puts around a heading
_NAMED = re.compile(  # "Step 2" where a line begins, or with a colon anywhere
    rf"^{_BEFORE}step[ \t]*(\d)(?!\d){_AFTER}[-:.)–—]?{_AFTER}|\bstep[ \t]*(\d)[ \t*_]*:{_AFTER}",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(rf"^{_BEFORE}(\d)[.):]{_AFTER}(?!\d)", re.MULTILINE)  # "2." or "**2)**"


def steps_of(text: str) -> list[str]:
    """The texts of the steps from the first on, up to one that is lacking, each on one line.

    A step is begun by "Step 2:", "**Step 2**" or "### Step 2 -", or where those do not make four
    steps, by "2." at the beginning of a line. What stands before the first is left out, and so is
    a fifth.
    """
    named = _split(text, _NAMED)
    return named if len(named) == COUNT else max(named, _split(text, _NUMBERED), key=len)


def _split(text: str, mark: re.Pattern[str]) -> list[str]:
    """What follows the first mark of 1, the first mark of 2 after that, and so on."""
    starts: list[re.Match[str]] = []
    for found in mark.finditer(text):
        if int(found[found.lastindex or 0]) == len(starts) + 1:
            starts.append(found)
    ends = [*(found.start() for found in starts[1:]), len(text)]
    parts = [text[found.end() : end] for found, end in zip(starts, ends, strict=False)]
    return [_plain(part) for part in parts[:COUNT]]


def _plain(part: str) -> str:
    return " ".join(part.replace("**", "").replace("__", "").split()).strip("# ")


def joined(steps: Sequence[str]) -> str:
    """The one form in which rationales are kept."""
    return "\n".join(f"Step {number}: {step}" for number, step in enumerate(steps, start=1))


def fault_of(text: str, most_words: int) -> str | None:
    """What is wrong with a rationale: a step that is lacking or says nothing, or too many words."""
    steps = steps_of(text)
    for number in range(1, COUNT + 1):
        if number > len(steps):
            return f"lacks step {number}"
        if not any(letter.isalnum() for letter in steps[number - 1]):
            return f"says nothing in step {number}"
    words = sum(len(step.split()) for step in steps)
    return f"has {words} words, more than {most_words}" if words > most_words else None


def item_line(item: Shown, behind: str | None = None) -> str:
    """An item on one line: its title and, after a dash, its caption or what else is known."""
    told = shown_title(item.caption if behind is None else behind)
    return " - ".join(part for part in (shown_title(item.title), told) if part)


def history_lines(history: Sequence[Shown], pictures: Collection[Path] | None = None) -> str:
    """A numbered line an item, oldest first: titles with captions where there are any.

    With ``pictures``, those that are handed over beside the text in their order, a line says
    which one shows its item, and captions are left out.
    """
    if pictures is None:
        lines = [item_line(item) for item in history]
    else:
        number = {path: f"picture {place}" for place, path in enumerate(pictures, start=1)}
        lines = [item_line(item, number.get(item.picture or Path(), "")) for item in history]
    return "\n".join(f"{place}. {line}" for place, line in enumerate(lines, start=1))


@cache
def is_legible(path: Path) -> bool:
    """Whether a file gives a picture."""
    try:
        return bool(opened(path, 1))
    except BadPicture:
        return False


def check_fields(knob: str, text: str, allowed: Collection[str], needed: Collection[str]) -> None:
    """Raise ValueError where a text names other fields than it may, or lacks one that it needs."""
    parts = [part for part in Formatter().parse(text) if part[1] is not None]
    used = {name for _, name, _, _ in parts if name is not None}
    if used - set(allowed):
        known = ", ".join(sorted(allowed))
        raise ValueError(f"{knob} has unknown field {sorted(used - set(allowed))}, known: {known}")
    if any(form or conversion for _, _, form, conversion in parts):
        raise ValueError(f"{knob}: fields are plain {{name}}; write {{{{ and }}}} for braces")
    if set(needed) - used:
        raise ValueError(f"{knob} has no {{{min(set(needed) - used)}}}")


class FourSteps(Model):
    """What a writer of four steps asks of a model, from a history and perhaps a draft.

    ``instruction`` may say ``{noun}``, ``{nouns}``, ``{verb}``, ``{history}`` and ``{max_words}``.
    ``revealed`` is appended where a case shows its target, and nowhere else; it says ``{target}``.
    A text of more than ``max_words`` is at fault.
    """

    places: ClassVar[frozenset[str]] = frozenset({*FIELDS, "history", "max_words"})

    instruction: str
    revealed: str
    max_words: Annotated[int, Field(ge=COUNT)]

    @model_validator(mode="after")
    def _texts_fit(self) -> Self:
        needed = self.places & {"history", "draft"}
        check_fields("instruction", self.instruction, self.places, needed)
        check_fields("revealed", self.revealed, {*FIELDS, "target"}, {"target"})
        return self

    def knobs(self) -> dict[str, Any]:
        """A model that is asked gives its own account, without what has no effect."""
        asked = {name: part.knobs() for name, part in self if isinstance(part, Model)}
        return {**super().knobs(), **asked}

    def request(
        self, case: Case, words: Words, *, pictures: bool = False, draft: str = ""
    ) -> Request:
        """What is asked for one case; ``pictures`` shows those of its history instead of captions.

        A picture that is missing or cannot be read is not shown, and one of several items once.
        """
        paths = [item.picture for item in case.history if item.picture] if pictures else []
        shown = tuple(dict.fromkeys(path for path in paths if is_legible(path)))
        known = words.model_dump()
        text = self.instruction.format(
            **known,
            history=history_lines(case.history, shown if pictures else None),
            max_words=self.max_words,
            draft=disarmed(draft),
        )
        if case.target is not None:
            text += "\n\n" + self.revealed.format(**known, target=item_line(case.target))
        return Request(id=case.sample_id, text=text, pictures=shown)

    @property
    def asker(self) -> Asker:
        """The model that writes."""
        raise NotImplementedError

    def ready(self) -> None:
        """Refuse a model that cannot be asked at all, before anything is begun."""
        self.asker.ready()

    def asked(self, requests: Sequence[Request], asker: Asker, journal: Path) -> list[Reply]:
        """The replies of a model, those with a text in the one form."""

        def fault(text: str) -> str | None:
            return fault_of(text, self.max_words)

        wrong: Fault = fault
        replies = asker.ask(requests, journal, "rationales", wrong)
        return [
            Reply(id=reply.id, text=joined(steps_of(reply.text))) if reply.text else reply
            for reply in replies
        ]
