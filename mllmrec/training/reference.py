"""What the frozen reference thinks of the candidates: computed once, kept across epochs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mllmrec.scoring.book import Book, book_of
from mllmrec.scoring.packed import Scores
from mllmrec.scoring.trie import Row

FILE = "reference.safetensors"


class ReferenceScores:
    """Log-probabilities of the tokens of all candidates' answers, flat, by sample.

    They go into every checkpoint: computed again in other company they would differ by rounding,
    and a run that was killed would end elsewhere than one that was not.
    """

    def __init__(self) -> None:
        self.known: dict[str, Tensor] = {}

    def book(
        self, rows: Mapping[str, Row], score: Callable[[Sequence[Row]], Book], device: torch.device
    ) -> Book:
        """The scores of these samples; ``score`` is asked for those that are not known yet."""
        missing = [id for id in rows if id not in self.known]
        if missing:
            found = score([rows[id] for id in missing])
            for id in missing:
                self.known[id] = found.of([rows[id]]).float().cpu()
        flat = torch.cat([self.known[id] for id in rows]).to(device)
        return book_of(list(rows.values()), Scores(logps=flat, entropies=None))

    def save(self, folder: Path) -> None:
        save_file(self.known, folder / FILE)

    def load(self, folder: Path) -> None:
        self.known = load_file(folder / FILE)
