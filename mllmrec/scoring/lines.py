"""Lists of answers as a trie: a line for each, none twice, and the end of turn behind the last."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mllmrec.scoring.choosers import Node, pruned
from mllmrec.scoring.trie import Tokens


@dataclass(frozen=True, eq=False)
class Lines(Mapping[int, Any]):
    """A place in the trie of all lists; what lies below it is made when it is gone to.

    ``root`` is the trie of the answers that are not named yet, that of this line included, each
    with the end of turn ``end``; ``node`` is where the line stands, its tokens so far ``line``.
    ``left`` lines come behind it: an answer is then followed by ``newline`` instead of ``end``.
    """

    root: Node
    node: Node
    line: tuple[int, ...]
    left: int
    newline: Tokens
    end: int

    @classmethod
    def of(cls, root: Node, items: int, newline: Tokens, end: int) -> "Lines":
        """Where lists of so many items begin; there have to be as many answers."""
        return cls(root=root, node=root, line=(), left=items - 1, newline=newline, end=end)

    def __iter__(self) -> Iterator[int]:
        for token in self.node:
            yield self.newline[0] if token == self.end and self.left else token

    def __len__(self) -> int:
        return len(self.node)

    def __getitem__(self, token: int) -> Any:
        if self.left and token == self.newline[0] and self.end in self.node:
            return self.behind()
        if self.left and token == self.end:
            raise KeyError(token)
        below = self.node[token]
        return replace(self, node=below, line=(*self.line, token)) if below else {}

    def behind(self) -> Any:
        """The rest of a newline, and then the next line without the answer of this one."""
        root = pruned(self.root, [(*self.line, self.end)])
        found: Any = replace(self, root=root, node=root, line=(), left=self.left - 1)
        for token in reversed(self.newline[1:]):
            found = {token: found}
        return found


def named(
    completion: Tokens, names: Mapping[tuple[int, ...], str], newline: Tokens, end: int
) -> list[tuple[str | None, int, int]]:
    """The items that the lines of a completion name, with their tokens: (item, from, to).

    A line has the newline or the end of turn behind it. ``names`` has items by the tokens of their
    answers without the end of turn; None where a line is none of them.
    """
    whole, stop = tuple(completion), tuple(newline)
    found: list[tuple[str | None, int, int]] = []
    start = at = 0
    while at < len(whole):
        closing = len(stop) if whole[at : at + len(stop)] == stop else int(whole[at] == end)
        if closing:
            found.append((names.get(whole[start:at]), start, at + closing))
            start = at + closing
        at += closing or 1
    if start < len(whole):
        found.append((names.get(whole[start:]), start, len(whole)))
    return found
