"""Scores of completions, found by what they are: the tokens of a prompt and their own.

A trainer shuffles its rows, so that places say nothing; what a row holds does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mllmrec.scoring.packed import Scores
from mllmrec.scoring.trie import Row, Tokens, pack

Pair = tuple[tuple[int, ...], tuple[int, ...]]  # a prompt and one of its completions


@dataclass(frozen=True, kw_only=True)
class Book:
    """``scores`` hold the tokens of each pair one behind the other, from its ``starts`` on."""

    starts: dict[Pair, int]
    scores: Scores

    def look_up(self, pairs: Sequence[Pair], width: int) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities and entropies by row, (R, width); 0 behind a completion's end."""
        index = np.zeros((len(pairs), width), dtype=np.int64)
        valid = np.zeros((len(pairs), width), dtype=bool)
        for row, pair in enumerate(pairs):
            if size := len(pair[1]):  # a completion that the loss leaves out altogether has none
                index[row, :size] = np.arange(size) + self.starts[pair]
                valid[row, :size] = True
        device = self.scores.logps.device
        places, known = torch.from_numpy(index).to(device), torch.from_numpy(valid).to(device)
        logps = torch.where(known, self.scores.logps[places], 0.0)
        entropies = self.scores.entropies
        return logps, None if entropies is None else torch.where(known, entropies[places], 0.0)

    def places(self, row: Row) -> Tensor:
        """Where the tokens of a row lie that was scored as a whole."""
        first = self.starts[pairs_in(row)[0]]
        size = sum(map(len, row.answers))
        return torch.arange(first, first + size, device=self.scores.logps.device)

    def of(self, rows: Sequence[Row]) -> Tensor:
        """The log-probabilities of rows that were scored as a whole, flat, in their order."""
        return self.scores.logps[torch.cat([self.places(row) for row in rows])]

    def leaf(self, rows: Sequence[Row]) -> "Book":
        """The values of these rows alone, as the beginning of a graph: gradients end there."""
        places = [
            np.arange(len(pair[1])) + self.starts[pair] for row in rows for pair in pairs_in(row)
        ]
        index = torch.from_numpy(np.concatenate(places)).to(self.scores.logps.device)
        entropies = self.scores.entropies
        return book_of(
            rows,
            Scores(
                logps=self.scores.logps.detach()[index].requires_grad_(),
                entropies=None if entropies is None else entropies[index],
            ),
        )


def book_of(rows: Sequence[Row], scores: Scores) -> Book:
    """The book of rows that were scored together, in their order."""
    return written((pair for row in rows for pair in pairs_in(row)), scores)


def written(pairs: Iterable[Pair], scores: Scores) -> Book:
    starts, at = {}, 0
    for pair in pairs:
        starts[pair] = at
        at += len(pair[1])
    return Book(starts=starts, scores=scores)


def pairs_in(row: Row) -> list[Pair]:
    prompt = tuple(row.prompt)
    return [(prompt, held(answer)) for answer in row.answers]


def held(tokens: Tokens) -> tuple[int, ...]:
    """Tokens as a tuple; one that is a tuple stays what it is, and may know more (``Tried``)."""
    return tokens if isinstance(tokens, tuple) else tuple(tokens)


def pairs_of(ids: Tensor, mask: Tensor, count: int) -> list[Pair]:
    """What rows of (prompt, completion) hold, padding left out; the last ``count`` columns are
    completions.
    """
    found = []
    for row, kept in zip(ids.cpu().numpy(), mask.cpu().numpy().astype(bool), strict=True):
        prompt, completion = row[:-count][kept[:-count]], row[-count:][kept[-count:]]
        found.append((tuple(prompt.tolist()), tuple(completion.tolist())))
    return found


def rows_of(
    pairs: Iterable[Pair], make: Callable[[Tokens, Sequence[Tokens]], Row] = pack
) -> list[Row]:
    """One row a distinct prompt with its distinct completions, in their order of appearance."""
    groups: dict[tuple[int, ...], dict[tuple[int, ...], None]] = {}
    for prompt, completion in pairs:
        if completion:
            groups.setdefault(prompt, {})[completion] = None
    return [make(prompt, list(completions)) for prompt, completions in groups.items()]
