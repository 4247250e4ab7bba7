"""Drafts rewritten by a model on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mllmrec.asking import Reply
from mllmrec.cases import Case
from mllmrec.local.options import Local
from mllmrec.refiner.base import Refiner
from mllmrec.schema import Words
from mllmrec.steps import FourSteps


class Transformers(FourSteps, Refiner):
    """Asks a local model to rewrite a draft, from it, titles and captions; it sees no pictures."""

    needs_torch: ClassVar[bool] = True
    places: ClassVar[frozenset[str]] = FourSteps.places | {"draft"}

    model: Local

    @property
    def asker(self) -> Local:
        return self.model.at("refiner.model")

    def write(
        self, cases: Sequence[Case], drafts: Mapping[str, str], words: Words, journal: Path
    ) -> list[Reply]:
        requests = [self.request(case, words, draft=drafts[case.sample_id]) for case in cases]
        return self.asked(requests, self.asker, journal)
