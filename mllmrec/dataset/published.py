"""The texts that the published scripts keep: captions and rationales, read whole and checked.

``NAME_captions.json`` is an object, ``{item id: {"title": …, "caption": …}}`` (or the caption
alone instead of the inner object). ``NAME_pseudo-cot.json`` and ``NAME_deepseek_cot.json`` are
lists of ``{"user_id": …, "target_item": {"item_id": …, "title": …}, "reasoning": …}``; a text
that could not be had is stored as "" there, perhaps with an ``error`` beside it. What else an
entry holds, its row number above all, is not read: nothing is joined by it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, TypeAdapter, ValidationError

from mllmrec.errors import Refusal

SHOWN = 5  # faults that are told one by one
UNTITLED = "Unknown Title"  # what the scripts call an item whose title they do not know


def text_of(id: Any) -> Any:
    return str(id) if type(id) is int else id


def some(id: str) -> str:
    if not id.strip():
        raise ValueError("empty")
    return id.strip()


Id = Annotated[str, BeforeValidator(text_of), AfterValidator(some)]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A text of a file: of an item, or of a user and the item that was next.

    ``place`` says where it stands, for people. ``text`` is None where the file has none, and
    ``why`` says what it has instead. ``title`` is that of the item where the file tells it.
    """

    place: str
    item_id: str
    user_id: str | None
    title: str | None
    text: str | None
    why: str | None


class _Captioned(BaseModel):
    title: str | None = None
    caption: str | None


class _Target(BaseModel):
    item_id: Id
    title: str | None = None


class _Trace(BaseModel):
    user_id: Id
    target_item: _Target
    reasoning: str | None
    error: str | None = None


CAPTIONS = TypeAdapter(dict[str, str | _Captioned])
TRACES = TypeAdapter(list[_Trace])


def captions(file: Path, knob: str) -> list[Entry]:
    """A file of captions by item id; refuses what is not one. ``knob`` is how it was typed."""
    found = checked(file, CAPTIONS, "an object {item id: {title, caption}}", knob)
    entries = []
    for id, told in found.items():
        one = told if isinstance(told, _Captioned) else _Captioned(caption=told)
        entries.append(entry(f"item '{id}'", id, None, one.title, one.caption, None))
    return entries


def rationales(file: Path, knob: str) -> list[Entry]:
    """A file of rationales by user and target; refuses what is not one."""
    shape = "a list of entries with user_id, target_item.item_id and reasoning"
    found = checked(file, TRACES, shape, knob)
    return [
        entry(
            f"entry {number} (user '{one.user_id}', target '{one.target_item.item_id}')",
            one.target_item.item_id,
            one.user_id,
            one.target_item.title,
            one.reasoning,
            one.error,
        )
        for number, one in enumerate(found, start=1)
    ]


def entry(
    place: str, item: str, user: str | None, title: str | None, text: str | None, error: str | None
) -> Entry:
    """An entry; a text that says nothing, or stands beside an error, is none."""
    said = (text or "").strip()
    why = f"the file says {error}" if error else None if said else "the text is empty in the file"
    return Entry(
        place=place,
        item_id=item,
        user_id=user,
        title=None if title == UNTITLED else title,
        text=None if why else said,
        why=why,
    )


def checked(file: Path, shape: TypeAdapter[Any], words: str, knob: str) -> Any:
    """The content of a JSON file in a shape; refuses another one, by entry, field and value."""
    found = loaded(file, words, knob)
    try:
        made = shape.validate_python(found)
    except ValidationError as error:
        faults = [told(fault) for fault in error.errors()[:SHOWN]]
        more = error.error_count() - len(faults)
        raise Refusal(
            f"{file}: {'; '.join(faults)}" + f" · and {more} more" * (more > 0),
            allowed=words,
            do=f"mend the file, or type {knob}=FILE with another one",
        ) from error
    if not made:
        raise Refusal(
            f"{file}: holds no entry", allowed=words, do=f"type {knob}=FILE with another one"
        )
    return made


def told(fault: Any) -> str:
    """One fault: the entry (lists are counted from 1), the field, its value, what is wrong."""
    where = [str(part) for part in fault["loc"] if part not in ("str", "_Captioned")]
    if fault["loc"] and isinstance(fault["loc"][0], int):
        where[0] = f"entry {fault['loc'][0] + 1}"
    elif where:
        where[0] = f"item '{where[0]}'"
    field = f", field {'.'.join(where[1:])}" if where[1:] else ""
    message = fault["msg"].removeprefix("Value error, ")
    return f"{where[0] if where else 'the whole'}{field}, value {fault['input']!r:.100}: {message}"


def loaded(file: Path, words: str, knob: str) -> Any:
    """The content of a JSON file; refuses one that is no JSON, by line and column."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal(
            f"{file}: cannot be read as JSON ({error})",
            allowed=f"JSON in utf-8: {words}",
            do=f"type {knob}=FILE with a file that is whole",
        ) from error
