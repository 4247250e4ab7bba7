"""What is asked of a language model, and what comes back: the words between writers and models.

A writer (``captioner/``, ``reasoner/``, ``refiner/``) makes requests; an asker, a server
(``endpoint/``) or a local model (``local/``), answers each of them once, with a text or with the
reason why there is none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import PrivateAttr

from mllmrec.schema import Model


@dataclass(frozen=True, kw_only=True)
class Request:
    """One message to a model: ``text``, after ``pictures`` where there are any.

    ``id`` says what it is for (an item, a sample), and does not reach the model.
    """

    id: str
    text: str
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of a request: a ``text``, or ``why`` there is none; never both, never neither."""

    id: str
    text: str | None = None
    why: str | None = None


Fault = Callable[[str], str | None]  # what is wrong with a text, or None where it will do

OPEN, CLOSE = "<think>", "</think>"
CHARS_A_TOKEN = 4  # where nobody counts; rough, for European languages
PIXELS_A_TOKEN = 28  # a token a square of so many pixels, as vision models of the day have it


def spoken(content: str) -> str | None:
    """The text after the thinking; None where the thinking has not ended."""
    _, mark, rest = content.rpartition(CLOSE)  # some chat templates write the opening mark
    return None if not mark and rest.lstrip().startswith(OPEN) else rest.strip()


def tokens_of(text: str) -> int:
    """About how many tokens a text takes."""
    return -(-len(text) // CHARS_A_TOKEN)


def tokens_of_picture(longest: int) -> int:
    """About how many tokens a square picture takes."""
    side: int = -(-longest // PIXELS_A_TOKEN)
    return side * side


def tokens_in(requests: Sequence[Request], longest: int) -> tuple[int, str]:
    """About how many tokens requests take, pictures of ``longest`` pixels, and what is assumed."""
    a_picture = tokens_of_picture(longest)
    shown = sum(len(request.pictures) for request in requests)
    count = sum(tokens_of(request.text) for request in requests) + shown * a_picture
    pictures = f", {a_picture} a picture" if shown else ""
    return count, f"({CHARS_A_TOKEN} characters a token{pictures})"


class Asker(Model):
    """A language model that can be asked, here or at a server."""

    _knob: str = PrivateAttr("endpoint")

    def at(self, knob: str) -> Self:
        """The same, with refusals that name its knobs as they are typed: ``KNOB.url``."""
        copy = self.model_copy()
        copy._knob = knob
        return copy

    @property
    def knob(self) -> str:
        """What the knobs of this model stand under, as they are typed."""
        return self._knob

    def ready(self) -> None:
        """Refuse what cannot be asked at all, before anything is begun.

        Raises:
            Refusal: it is not said which model is to be asked, or where.
        """
        raise NotImplementedError

    def ask(
        self, requests: Sequence[Request], journal: Path, label: str, fault: Fault
    ) -> list[Reply]:
        """One reply a request, in their order.

        What was answered before, as the file ``journal`` and its neighbours tell, is not asked
        again. An empty or truncated text, and one that ``fault`` finds wrong, is asked for
        once more with more room, and ends as a failure, which ``journal`` keeps; one by the fault
        of a server is asked for again by the next ``ask``. ``label`` names the work on a bar.

        Raises:
            Refusal: nothing can be had from the model at all, or the budget is used up; what
                was answered is kept in the journal.
        """
        raise NotImplementedError
