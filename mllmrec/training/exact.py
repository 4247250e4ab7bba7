"""All candidates of a prompt at once, each with its probability, through the same trainer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mllmrec.algorithm.batch import Batch, Terms
from mllmrec.scoring.book import Book
from mllmrec.scoring.packed import log_choice
from mllmrec.scoring.trie import Row
from mllmrec.training.composed import Made
from mllmrec.training.rolling import Groups
from mllmrec.training.rollouts import Enumerating


class Exhausting(Enumerating):
    """A group is every candidate once; the loss is of the probabilities of whole answers."""

    charts_tokens = False

    def roll(self, samples: Sequence[Any], draws: int) -> Groups:
        self.score(samples)
        self.drawn_by = np.concatenate(self.masses)
        return [list(row.answers) for row in self.tables.values()]

    def average(self, batch: Batch, values: Tensor) -> Tensor:
        """Expectations: each row counts by its probability."""
        assert batch.chance is not None
        return (values * batch.chance.to(values)).sum() / len(batch.samples)

    def keeps(self, rows: Sequence[Row]) -> bool:
        return self.may_keep(rows)  # all are needed anyway

    def terms(self, terms: Terms, book: Book, made: Made) -> Terms:
        """The log-probabilities of whole answers among those of their prompt."""
        rows = list(self.tables.values())
        log_q = log_choice(rows, book.of(rows), self.constraint)
        self.chart("entropy", terms.batch.total(-log_q.detach() * log_q.detach().exp()).mean())
        if made.ref is None:
            return replace(terms, log_q=log_q, kl=None)
        with torch.no_grad():
            log_ref = log_choice(rows, made.ref.of(rows), self.constraint)
        self.chart("kl", terms.batch.total(log_q.exp() * (log_q - log_ref)).mean())
        return replace(terms, log_q=log_q, log_ref=log_ref, kl=None)
