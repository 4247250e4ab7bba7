"""What every writer of rationales has."""

from collections.abc import Sequence
from pathlib import Path

from mllmrec.asking import Reply
from mllmrec.cases import Case
from mllmrec.schema import Model, Words


class Reasoner(Model):
    """Writes a rationale about the *next* item from the history.

    ``reveal_target`` hands the writer the target too. It reproduces the published leak, and is
    there to measure what that does.
    """

    reveal_target: bool

    def ready(self) -> None:
        """Refuse what could write nothing, before anything is begun."""

    def write(self, cases: Sequence[Case], words: Words, journal: Path) -> list[Reply]:
        """One reply a case, in their order: its rationale, or why there is none.

        ``journal``: where answers that took long or cost money are kept (``Asker.ask``).
        """
        raise NotImplementedError
