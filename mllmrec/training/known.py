"""What a training knows of items, and the reference that its policy is held against."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mllmrec.algorithm.base import Kl
from mllmrec.algorithm.batch import Tokens

REFERENCE = "synced_reference.safetensors"


class Known:
    """The answers of all items, as a trie and as vectors; each is made when it is first asked for.

    ``embeddings`` are the frozen input embeddings of the merged model, (words, d).
    """

    def __init__(self, answers: Mapping[str, Sequence[int]], embeddings: Tensor) -> None:
        self.answers: dict[str, Tokens] = {item: tuple(a) for item, a in answers.items()}
        self.embeddings = embeddings

    @cached_property
    def places(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self.answers)}

    @cached_property
    def table(self) -> Tensor:
        """A unit vector an item: the mean of its answer's embeddings without the end of turn."""
        with torch.no_grad():
            rows = [
                self.embeddings[list(tokens[:-1] or tokens)].float().mean(0)
                for tokens in self.answers.values()
            ]
            return torch.nn.functional.normalize(torch.stack(rows), dim=1)

    def vectors(self, items: Sequence[str]) -> Tensor:
        """(n, d) of unit length; zeros for an item that is unknown."""
        found = self.table.new_zeros(len(items), self.table.shape[1])
        for row, item in enumerate(items):
            if item in self.places:
                found[row] = self.table[self.places[item]]
        return found

    @cached_property
    def children(self) -> dict[Tokens, int]:
        """How many tokens lead on from each beginning of an answer."""
        found: dict[Tokens, set[int]] = {}
        for tokens in self.answers.values():
            for size in range(len(tokens)):
                found.setdefault(tokens[:size], set()).add(tokens[size])
        return {beginning: len(after) for beginning, after in found.items()}

    def branching(self, beginning: Tokens) -> int:
        """How many tokens lead on; 0 where no answer begins so."""
        return self.children.get(tuple(beginning), 0)


class Synced:
    """The reference: the model without its adapter, or with the adapter that it had some time ago.

    ``kl.every`` says after how many optimiser steps the reference becomes the policy of then.
    """

    def __init__(self, kl: Kl) -> None:
        self.every: int | None = getattr(kl, "every", None)
        self.since = 0  # the step that it is of
        self.kept: dict[str, Tensor] = {}

    def look(self, model: Any, step: int) -> None:
        """Take the policy for the reference if it is time; asked where rollouts begin."""
        if self.every and step - self.since >= self.every:
            self.since, self.kept = step, {name: p.detach().clone() for name, p in trained(model)}

    @contextmanager
    def standing(self, model: Any) -> Iterator[None]:
        """Within the block the model is the reference."""
        if not self.kept:
            with model.disable_adapter():
                yield
            return
        own = {name: p.detach().clone() for name, p in trained(model)}
        put(model, self.kept)
        try:
            yield
        finally:
            put(model, own)

    def save(self, folder: Path) -> None:
        if self.kept:
            save_file(self.kept, folder / REFERENCE)

    def load(self, folder: Path, since: int) -> None:
        self.since = since
        self.kept = load_file(folder / REFERENCE) if since else {}


def trained(model: Any) -> list[tuple[str, Any]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def put(model: Any, values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in trained(model):
            parameter.copy_(values[name])
