"""Rationales by a model behind a server."""

from collections.abc import Sequence
from pathlib import Path

from mllmrec.asking import Reply
from mllmrec.cases import Case
from mllmrec.endpoint.server import Server
from mllmrec.reasoner.base import Reasoner
from mllmrec.schema import Words
from mllmrec.steps import FourSteps


class Endpoint(FourSteps, Reasoner):
    """Asks a server for four steps about the next item.

    ``pictures`` shows it those of the history, instead of their captions.
    """

    pictures: bool
    endpoint: Server

    @property
    def asker(self) -> Server:
        return self.endpoint.at("reasoner.endpoint")

    def write(self, cases: Sequence[Case], words: Words, journal: Path) -> list[Reply]:
        requests = [self.request(case, words, pictures=self.pictures) for case in cases]
        return self.asked(requests, self.asker, journal)
