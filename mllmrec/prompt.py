"""The one mouth: every text that a model reads or learns to write is made here.

An item is shown as ``[ITEM_12] Title``. Ids come from data, so the characters that would break
this form are percent-escaped (``escape``), one to one; ids of ordinary characters stay as they
are. Titles are shown on one line and cannot open a tag of the chat format (``shown_title``).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from string import Formatter
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote

from pydantic import Field, field_validator, model_validator

from mllmrec.errors import Refusal
from mllmrec.schema import Model, NoEffect

Section = Literal["task", "history", "candidates", "hint", "instruction"]
SECTIONS: tuple[Section, ...] = ("task", "history", "candidates", "hint", "instruction")
FORMS = {"id": "[ITEM_id]", "id_title": "[ITEM_id] title"}
FIELDS = {"noun", "nouns", "verb"}  # given by the dataset: movie, movies, watched
EXTRA_FIELDS = {
    "instruction": {"form"},
    "hint": {"rationale"},
    "listing": {"form", "k"},
    "caption": {"caption"},
}
NEEDED = {"hint": "rationale", "caption": "caption"}  # without it, what is told would be lost
THOUGHT = "<think>\n{}\n</think>\n\n"  # Qwen's form, empty where thinking is switched off
Captions = Mapping[str, str]  # by item id
NO_CAPTIONS: Captions = {}
_UNSAFE = re.compile(r"[^\x21-\x7e]|[%\[\]<>]")
_TAG = re.compile(r"<(?=[|/A-Za-z])")


def escape(item_id: str) -> str:
    """An id as prompts show it: brackets, ``<``, ``>``, ``%`` and all but visible ASCII as ``%XX``.

    Tokenizers compose characters (NFC), so that two ids could read the same, and byte-level ones
    garble other letters in tokens that were added. Raises Refusal for an empty id.
    """
    if not item_id:
        raise Refusal(
            "an item has an empty id",
            allowed="ids of one character or more",
            do="give every item of the dataset an id",
        )
    return _UNSAFE.sub(_percent, item_id)


def unescape(text: str) -> str | None:
    """The id that ``escape`` writes as this text, or None where it writes no id so."""
    item_id = unquote(text)
    return item_id if item_id and escape(item_id) == text else None


def shown_title(title: str | None, words: int | None = None) -> str:
    """A title on one line, cut to so many words, with ``<`` before a tag set apart from it."""
    kept = unicodedata.normalize("NFC", title or "").split()[:words]
    return _TAG.sub("< ", " ".join(kept))


def disarmed(rationale: str | None) -> str:
    """A rationale that cannot open or close a tag; nothing where it is blank."""
    return _TAG.sub("< ", rationale or "").strip()


def _percent(match: re.Match[str]) -> str:
    raw = match[0].encode("utf-8", "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in raw)


class Prompt(Model):
    """How the task is put to the model; ``{noun}``, ``{nouns}``, ``{verb}`` come from the dataset.

    ``instruction`` may also say ``{form}``, the form of the answer, and ``hint`` must say
    ``{rationale}``. An empty text leaves its line out; a section with nothing to say is dropped.
    ``listing`` asks for ``{k}`` items, in an evaluation that has lists written, and nowhere else.
    ``too_long`` says what becomes of a prompt over the model's limit (``rendering.shortened``).

    ``captions`` puts what pictures show behind titles, as ``caption`` says and up to
    ``caption_words`` words of it; ``auto`` is settled by the dataset before anything reads it
    (``settled``). ``inject`` says where a rationale goes: a hint in the ``prompt``, a thought that
    the model learns to write before its answer (``completion``), or nowhere (``none``).
    """

    task: str
    history_header: str
    candidates_header: str
    hint: str
    instruction: str
    order: list[Section]
    numbered: bool
    answer: Literal["id", "id_title"]
    title_words: int | None = Field(ge=0)
    listing: Annotated[str, NoEffect()]  # but for a rank that has lists written, which adds it
    too_long: Literal["error", "drop_oldest"]
    captions: Literal["auto", True, False]
    caption: str
    caption_words: int | None = Field(ge=1)
    inject: Annotated[Literal["prompt", "completion", "none"], NoEffect()]  # but where one goes

    @field_validator(
        *("task", "history_header", "candidates_header", "hint", "instruction", "listing"),
        "caption",
    )
    @classmethod
    def _known_fields(cls, text: str, info: Any) -> str:
        allowed = FIELDS | EXTRA_FIELDS.get(info.field_name, set())
        parsed = [part for part in Formatter().parse(text) if part[1] is not None]
        used = {name or "" for _, name, _, _ in parsed}
        if used - allowed:
            raise ValueError(f"unknown field {sorted(used - allowed)}, allowed: {sorted(allowed)}")
        if any(spec or conversion for _, _, spec, conversion in parsed):
            raise ValueError("fields are plain {name}; write {{ and }} for braces")
        needed = NEEDED.get(info.field_name)
        if needed and needed not in used:
            raise ValueError(f"has no {{{needed}}}, so a {needed} would be lost")
        return text

    @field_validator("order")
    @classmethod
    def _each_once(cls, order: list[Section]) -> list[Section]:
        if sorted(order) != sorted(SECTIONS):
            raise ValueError(f"must name each of {', '.join(SECTIONS)} once")
        return order

    @model_validator(mode="after")
    def _answer_has_words(self) -> Self:
        if self.answer == "id_title" and self.title_words == 0:
            raise ValueError("must hold: prompt.answer=id where prompt.title_words=0")
        return self

    def settled(self, are_there: Callable[[], bool]) -> "Prompt":
        """The same prompt with ``captions`` true or false: of ``auto``, whether there are any.

        Raises Refusal where captions are asked for and there are none to be had.
        """
        if self.captions is False:
            return self
        on = are_there()
        if self.captions is True and not on:
            raise Refusal(
                "prompt.captions=true: this dataset has no pictures, and no captions are adopted",
                allowed="prompt.captions=auto, which is on where there are any, or false",
                do="type prompt.captions=auto, or caption.adopt=FILE with captions by item id",
            )
        return self.model_copy(update={"captions": on})

    def knobs(self) -> dict[str, Any]:
        """Those that have an effect: how captions are shown, only where they are."""
        found = super().knobs()
        return found if self.captions else {k: v for k, v in found.items() if "caption" not in k}

    def shown(self, titles: Mapping[str, str]) -> dict[str, str]:
        """Titles as the prompt shows them: what an answer's title is compared with."""
        return {item_id: shown_title(title, self.title_words) for item_id, title in titles.items()}

    def item_text(self, item_id: str, title: str | None, caption: str | None = None) -> str:
        """``[ITEM_12] Title, caption``; the bracket alone where there is neither."""
        told = shown_title(caption, self.caption_words).rstrip(",.;:")
        behind = self.caption.format(caption=told) if told else ""
        return f"[ITEM_{escape(item_id)}] {shown_title(title, self.title_words)}{behind}".rstrip()

    def answer_text(self, item_id: str, title: str | None) -> str:
        """What the model is to write for an item, in the form of the knob ``answer``."""
        return self.item_text(item_id, title if self.answer == "id_title" else None)

    def history_text(
        self, items: Iterable[str], titles: Mapping[str, str], captions: Captions = NO_CAPTIONS
    ) -> str:
        """A user's items as raw lines, oldest first: text for dense next-item pretraining."""
        lines = [self.item_text(item, titles[item], captions.get(item)) for item in items]
        return "".join(f"{line}\n" for line in lines)

    def render(
        self,
        history: Sequence[str],
        candidates: Sequence[str],
        titles: Mapping[str, str],
        words: Mapping[str, str],
        rationale: str | None = None,
        captions: Captions = NO_CAPTIONS,
    ) -> str:
        """The user's message: history (oldest first), candidates as given, hint, instruction.

        ``words`` has the dataset's noun, nouns and verb. A rationale (None or blank: no hint) is
        shown as ``hint`` says; tags inside it are disarmed, so that it cannot close its own.
        """
        told = disarmed(rationale)
        hint = self.hint.format(**words, rationale=told) if told else ""
        head = self.candidates_header
        texts: dict[Section, str] = {
            "task": self.task.format(**words),
            "history": self.listed_history(history, titles, words, captions),
            "candidates": self._listed(head, candidates, titles, words, False, captions),
            "hint": hint,
            "instruction": self.instruction.format(**words, form=FORMS[self.answer]),
        }
        return "\n\n".join(texts[section] for section in self.order if texts[section])

    def asking(self, text: str, count: int, words: Mapping[str, str]) -> str:
        """A user's message, and below it the line that asks for a list of so many items."""
        line = self.listing.format(**words, form=FORMS[self.answer], k=count)
        return f"{text}\n\n{line}" if line else text

    def listed_history(
        self,
        history: Sequence[str],
        titles: Mapping[str, str],
        words: Mapping[str, str],
        captions: Captions = NO_CAPTIONS,
    ) -> str:
        """The section of the history as ``render`` writes it, its header included."""
        return self._listed(self.history_header, history, titles, words, self.numbered, captions)

    def thought(self, rationale: str | None) -> str:
        """What stands before an answer under ``inject=completion``: a thought, or an empty one.

        The empty one is what a chat template puts before an answer whose thinking is switched off.
        """
        return THOUGHT.format(disarmed(rationale))

    def messages(self, user_text: str) -> list[dict[str, str]]:
        """The conversation that a chat template renders: one message, by the user."""
        return [{"role": "user", "content": user_text}]

    def encode_all(
        self, tokenizer: Any, user_texts: Sequence[str], thinking: bool = False
    ) -> list[list[int]]:
        """Token ids of each prompt up to where the answer begins, as ``framed``."""
        texts = self.framed(tokenizer, user_texts, thinking)
        return tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []

    def framed(
        self, tokenizer: Any, user_texts: Sequence[str], thinking: bool = False
    ) -> list[str]:
        """Each message in the chat format of the model, up to where the answer begins.

        With ``thinking`` off the thought before the answer is there already, and empty. Raises
        Refusal where the tokenizer has no chat template.
        """
        if not tokenizer.chat_template:
            raise Refusal(
                f"the tokenizer {tokenizer.name_or_path!r} has no chat template",
                allowed="a backbone whose tokenizer has one",
                do="choose another backbone, such as backbone=tiny",
            )
        if not user_texts:
            return []
        texts = tokenizer.apply_chat_template(
            [self.messages(text) for text in user_texts],
            add_generation_prompt=True,
            enable_thinking=thinking,
            tokenize=False,  # what tokenize=True returns differs between versions
        )
        return list(texts)

    def encode(self, tokenizer: Any, user_text: str) -> list[int]:
        """Token ids of one prompt, as ``encode_all``."""
        return self.encode_all(tokenizer, [user_text])[0]

    def encode_answer(self, tokenizer: Any, text: str) -> list[int]:
        """Token ids of an answer and of the end of the turn that closes it."""
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids, tokenizer.eos_token_id]

    def _listed(
        self,
        header: str,
        items: Sequence[str],
        titles: Mapping[str, str],
        words: Mapping[str, str],
        numbered: bool,
        captions: Captions,
    ) -> str:
        if not items:
            return ""
        lines = [self.item_text(item, titles[item], captions.get(item)) for item in items]
        if numbered:
            lines = [f"{number}. {line}" for number, line in enumerate(lines, 1)]
        return "\n".join([header.format(**words), *lines] if header else lines)
