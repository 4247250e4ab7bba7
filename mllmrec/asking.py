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

    @property
    def is_paid(self) -> bool:
        """Whether calls leave this machine and may cost money."""
        return False

    def ask(
        self, requests: Sequence[Request], journal: Path, label: str, fault: Fault
    ) -> list[Reply]:
        """One reply a request, in their order.

        What was answered before, as the file ``journal`` and its neighbours tell, is not asked
        again. An empty or truncated text, and one that ``fault`` finds wrong, is asked for
        once more with more room, and ends as a failure. ``label`` names the work on a bar.

        Raises:
            Refusal: nothing can be had from the model at all, or the budget is used up; what
                was answered is kept in the journal.
        """
        raise NotImplementedError
