"""Drafts rewritten by a model behind a server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mllmrec.asking import Reply
from mllmrec.cases import Case
from mllmrec.endpoint.server import Server
from mllmrec.refiner.base import Refiner
from mllmrec.schema import Words
from mllmrec.steps import FourSteps


class Endpoint(FourSteps, Refiner):
    """Asks a server to rewrite a draft, from it, titles and captions; it sees no pictures."""

    places: ClassVar[frozenset[str]] = FourSteps.places | {"draft"}

    endpoint: Server

    @property
    def asker(self) -> Server:
        return self.endpoint.at("refiner.endpoint")

    def write(
        self, cases: Sequence[Case], drafts: Mapping[str, str], words: Words, journal: Path
    ) -> list[Reply]:
        requests = [self.request(case, words, draft=drafts[case.sample_id]) for case in cases]
        return self.asked(requests, self.asker, journal)
