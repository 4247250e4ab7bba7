"""Log-probabilities among the tokens that lead on in a trie of answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mllmrec.scoring.trie import Row

Allowed = Mapping[int, Any]  # a trie as decoders have it: the tokens that lead on, and to what


@dataclass(frozen=True, kw_only=True)
class Leading:
    """Token ``tokens[k]`` may follow node ``nodes[k]``, of so many nodes of all rows."""

    nodes: Tensor
    tokens: Tensor
    count: int

    def log_mass(self, logits: Tensor) -> Tensor:
        """log Σ exp(logit) over what may follow each node, (nodes,); logits (nodes, V)."""
        values = logits[self.nodes, self.tokens]
        top = values.detach().new_full((self.count,), -torch.inf)
        top = top.scatter_reduce(0, self.nodes, values.detach(), "amax")
        return self.summed((values - top[self.nodes]).exp()).log() + top

    @torch.no_grad()
    def entropies(self, logits: Tensor, mass: Tensor) -> Tensor:
        """Of the tokens that may follow each node, (nodes,), in nats."""
        values = logits[self.nodes, self.tokens]
        return mass - self.summed((values - mass[self.nodes]).exp() * values)

    def summed(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.count).index_add(0, self.nodes, values)


def leading(rows: Sequence[Row], allowed: Sequence[Allowed], device: torch.device | str) -> Leading:
    """What may follow each node of the rows; ``allowed[i]`` is the trie of row i's answers.

    One trie may serve many rows, or tries may share their lower parts (``choosers.pruned``): a
    node is looked at once. Raises ValueError for an answer of a row that its trie has not.
    """
    known: dict[int, np.ndarray] = {}  # by identity: what is shared stays alive in ``allowed``
    found: list[np.ndarray] = []
    for row, root in zip(rows, allowed, strict=True):
        for node in walked(row, root):
            if id(node) not in known:
                known[id(node)] = np.fromiter(node, np.int64, len(node))
            found.append(known[id(node)])
    nodes = np.repeat(np.arange(len(found)), [len(tokens) for tokens in found])
    return Leading(
        nodes=torch.from_numpy(nodes).to(device),
        tokens=torch.from_numpy(np.concatenate(found)).to(device),
        count=len(found),
    )


def walked(row: Row, root: Allowed) -> list[Allowed]:
    """The place of each node of a row in a trie; ValueError where it has none."""
    found: list[Allowed] = []
    for trie in row.tries:
        above: list[Allowed] = []
        for token, depth in zip(trie.tokens, trie.depth, strict=True):
            del above[depth:]
            above.append(above[-1].get(token, {}) if depth else root)
            found.append(above[-1])
    for path, answer in zip(row.paths, row.answers, strict=True):
        if answer[-1] not in found[path[-1]]:
            raise ValueError(f"an answer of {len(answer)} tokens is not in the trie of its prompt")
    return found
