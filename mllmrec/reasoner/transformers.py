"""Rationales by a model on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mllmrec.asking import Reply
from mllmrec.cases import Case
from mllmrec.local.options import Local
from mllmrec.reasoner.base import Reasoner
from mllmrec.schema import Words
from mllmrec.steps import FourSteps


class Transformers(FourSteps, Reasoner):
    """Asks a local model for four steps about the next item.

    ``pictures`` shows it those of the history, instead of their captions.
    """

    needs_torch: ClassVar[bool] = True

    pictures: bool
    model: Local

    @property
    def asker(self) -> Local:
        return self.model.at("reasoner.model")

    def write(self, cases: Sequence[Case], words: Words, journal: Path) -> list[Reply]:
        requests = [self.request(case, words, pictures=self.pictures) for case in cases]
        return self.asked(requests, self.asker, journal)
