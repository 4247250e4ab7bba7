"""What every refiner of rationales has."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mllmrec.asking import Reply
from mllmrec.cases import Case
from mllmrec.schema import Model, Words


class Refiner(Model):
    """Rewrites the draft of a rationale, from words alone: titles and captions, no pictures."""

    @property
    def is_active(self) -> bool:
        """Whether drafts are rewritten at all."""
        return True

    def ready(self) -> None:
        """Refuse what could write nothing, before anything is begun."""

    def write(
        self, cases: Sequence[Case], drafts: Mapping[str, str], words: Words, journal: Path
    ) -> list[Reply]:
        """One reply a case, in their order: the rationale, or why there is none.

        ``drafts`` are texts by the id of the sample. A case shows its target only where the
        reasoner was shown it too.
        """
        raise NotImplementedError
