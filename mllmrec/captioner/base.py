"""What every writer of captions has, and those that ask a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Annotated, Any

from pydantic import AfterValidator, PositiveInt

from mllmrec.asking import Asker, Reply, Request
from mllmrec.pictures import BadPicture, opened
from mllmrec.prompt import shown_title
from mllmrec.schema import Model

FIELDS = {"title", "words"}
LOOKED_AT = 64  # pixels: enough to see that a picture decodes to its end, quick for a JPEG


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """An item that has a picture: its id, its title and where the picture lies."""

    item_id: str
    title: str
    picture: Path


class Captioner(Model):
    """Says in words what a picture shows."""

    def ready(self) -> None:
        """Refuse what could write nothing, before anything is begun."""

    def write(self, items: Sequence[Pictured], journal: Path) -> list[Reply]:
        """One reply an item, in their order: its caption, or why there is none.

        ``journal``: where answers that took long or cost money are kept (``Asker.ask``).
        """
        raise NotImplementedError


def instructing(text: str) -> str:
    """The text itself; ValueError where it has fields that nothing fills."""
    parsed = [part for part in Formatter().parse(text) if part[1] is not None]
    if unknown := sorted({name or "" for _, name, _, _ in parsed} - FIELDS):
        raise ValueError(f"unknown field {unknown}, allowed: {sorted(FIELDS)}")
    if any(spec or conversion for _, _, spec, conversion in parsed):
        raise ValueError("fields are plain {name}; write {{ and }} for braces")
    if not text.strip():
        raise ValueError("empty: nothing would be asked")
    return text


class Asked(Captioner):
    """A model looks at one picture at a time and is asked by ``instruction`` what it shows.

    ``{title}`` is the item's title and ``{words}`` the most words that are asked for; a longer
    answer is kept whole.
    """

    instruction: Annotated[str, AfterValidator(instructing)]
    words: PositiveInt

    def knobs(self) -> dict[str, Any]:
        """A model that is asked gives its own account, without what has no effect."""
        asked = {name: part.knobs() for name, part in self if isinstance(part, Model)}
        return {**super().knobs(), **asked}

    @property
    def asker(self) -> Asker:
        """The model that looks."""
        raise NotImplementedError

    def ready(self) -> None:
        self.asker.ready()

    def write(self, items: Sequence[Pictured], journal: Path) -> list[Reply]:
        """Pictures that cannot be read are failures before the model is asked for any."""
        failed = {item.item_id: why for item in items if (why := unreadable(item.picture))}
        requests = [self.request(item) for item in items if item.item_id not in failed]
        replies = self.asker.ask(requests, journal, "captions", fault) if requests else []
        told = {reply.id: one_line(reply) for reply in replies}
        told |= {id: Reply(id=id, why=why) for id, why in failed.items()}
        return [told[item.item_id] for item in items]

    def request(self, item: Pictured) -> Request:
        text = self.instruction.format(title=shown_title(item.title), words=self.words)
        return Request(id=item.item_id, text=text, pictures=(item.picture,))


def unreadable(picture: Path) -> str | None:
    """Why a picture cannot be read, or None."""
    try:
        opened(picture, LOOKED_AT)
    except BadPicture as error:
        return str(error)
    return None


def fault(text: str) -> str | None:
    """What is wrong with a caption; that it is long is not."""
    return None if any(letter.isalnum() for letter in text) else "says nothing in words"


def one_line(reply: Reply) -> Reply:
    """The same with single spaces between words, and no line breaks."""
    if reply.text is None:
        return reply
    return Reply(id=reply.id, text=" ".join(reply.text.split()))
