"""Answers to one prompt as tries: a beginning that answers share is there once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mllmrec.scoring.noise import Noise

Tokens = Sequence[int]
NODES = 512  # of one trie: attention among branches that do not see each other is waste


@dataclass(kw_only=True)
class Trie:
    """Answers below the last token of a prompt, which is node 0; nodes come depth first.

    Node n has token ``tokens[n]`` and lies ``depth[n]`` below node 0; its descendants are the
    nodes from n + 1 up to, not including, ``ends[n]``. The last token of an answer is no node:
    nothing follows it.
    """

    tokens: list[int]
    depth: list[int] = field(default_factory=lambda: [0])
    ends: list[int] = field(default_factory=lambda: [1])

    def add(self, path: list[int], answer: Tokens) -> None:
        """Add an answer; ``path`` has the nodes of the one before, and then those of this one."""
        shared = 1
        while shared < min(len(path), len(answer)):
            if self.tokens[path[shared]] != answer[shared - 1]:
                break
            shared += 1
        del path[shared:]
        for token in answer[shared - 1 : -1]:
            self.depth.append(len(path))
            path.append(len(self.tokens))
            self.tokens.append(token)
            self.ends.append(0)
        for node in path:
            self.ends[node] = len(self.tokens)

    def sees(self) -> NDArray[np.bool_]:
        """Which node sees which, (S, S): itself and those above it."""
        step = np.arange(len(self.tokens))
        return (step <= step[:, None]) & (step[:, None] < np.array(self.ends))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A prompt, whose last token is every trie's node 0, and its answers as tries of bounded size.

    ``paths[a]`` are the nodes from which the tokens of answer a follow, one a token, counted
    through all tries of the row. With ``noise`` every answer has a trie of its own, and the
    embedding of its node 0 takes some.
    """

    prompt: Tokens
    tries: list[Trie]
    answers: Sequence[Tokens]
    paths: list[list[int]]
    noise: "Noise | None" = None

    @property
    def body(self) -> Tokens:
        """The prompt but for its last token."""
        return self.prompt[:-1]

    @property
    def nodes(self) -> int:
        return sum(len(trie.tokens) for trie in self.tries)

    @property
    def size(self) -> int:
        """The tokens that are fed for it."""
        return len(self.prompt) - 1 + self.nodes

    @property
    def depth(self) -> int:
        """The positions that it takes."""
        return len(self.prompt) + max((max(trie.depth) for trie in self.tries), default=0)

    def beginnings(self) -> list[int]:
        """For each node the first one with the same tokens before it: tries repeat their top."""
        found: list[int] = []
        known: dict[tuple[int, int], int] = {}
        for trie in self.tries:
            above: list[int] = []
            for token, depth in zip(trie.tokens, trie.depth, strict=True):
                del above[depth:]
                place = (above[-1] if above else -1, token)
                above.append(known.setdefault(place, len(found)))
                found.append(above[-1])
        return found


def pack(prompt: Tokens, answers: Sequence[Tokens], nodes: int = NODES) -> Row:
    """Lay out a prompt and its answers, beginning a new trie when one has so many nodes.

    Raises ValueError for a prompt or an answer without tokens.
    """
    if not len(prompt) or not all(map(len, answers)):
        raise ValueError("a prompt or an answer has no tokens")
    tries: list[Trie] = []
    paths: list[list[int]] = [[] for _ in answers]
    path: list[int] = []
    first = 0
    # Sorted, answers with a beginning in common are neighbours, so nodes come depth first.
    for answer, index in sorted((tuple(answer), i) for i, answer in enumerate(answers)):
        if not tries or len(tries[-1].tokens) >= nodes:
            first += len(tries[-1].tokens) if tries else 0
            tries.append(Trie(tokens=[prompt[-1]]))
            path = [0]
        tries[-1].add(path, answer)
        paths[index] = [first + node for node in path]
    return Row(prompt=prompt, tries=tries, answers=answers, paths=paths)
