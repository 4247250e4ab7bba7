"""The whole catalogue as what may answer a prompt that lists no candidates.

A sample may be answered by any item but those that its user has otherwise, as in the protocol
``full`` of evaluation (``dataset.full``). Nothing is copied per item: what samples have in common
is there once, and each adds its user's own few items alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import polars as pl

from mllmrec.dataset.full import in_pool, owned
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.scoring.choosers import Node, pruned, tree
from mllmrec.scoring.trie import Tokens


@dataclass(frozen=True, eq=False)
class Others(Sequence[str]):
    """A view of ``ids`` without those in a few columns, in their order.

    ``column`` has the place of each id; ``barred`` (few,) are sorted columns.
    """

    ids: Sequence[str]
    column: Mapping[str, int]
    barred: np.ndarray

    def __len__(self) -> int:
        return len(self.ids) - len(self.barred)

    def __contains__(self, item: object) -> bool:
        column = self.column.get(item) if isinstance(item, str) else None
        if column is None:
            return False
        at = int(np.searchsorted(self.barred, column))
        return at == len(self.barred) or int(self.barred[at]) != column

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(len(self)))]
        n = range(len(self))[place]  # IndexError beyond either end
        before = self.barred - np.arange(len(self.barred))  # the places that each barred one is at
        return self.ids[n + int(np.searchsorted(before, n, side="right"))]


class Catalogue:
    """What may answer any training prompt, and the trie of these answers.

    ``answers`` has the tokens of every item's answer, its end of turn included; ``root`` is the
    trie of all of them. Raises ValueError where an answer begins another.
    """

    def __init__(self, prepared: Prepared, answers: Mapping[str, Tokens]) -> None:
        is_open = in_pool(prepared)
        self.ids: list[str] = prepared.items["item_id"].filter(pl.Series(is_open)).to_list()
        self.column = {item: place for place, item in enumerate(self.ids)}
        self.answers = [answers[item] for item in self.ids]
        self.root = tree(self.answers)
        users = prepared.scan("train").select("user_id").unique(maintain_order=True).collect()
        self.user = {id: place for place, id in enumerate(users["user_id"])}
        place = np.full(prepared.items.height, -1)  # in the table of items, to that in the pool
        place[is_open] = np.arange(len(self.ids))
        mine = owned(prepared, users)
        self.start, self.own = mine.start, place[mine.flat]

    def barred(self, user_id: str, target: str) -> np.ndarray:
        """The places in ``ids`` of what a user has beside a target, sorted."""
        row = self.user[user_id]
        mine = np.sort(self.own[self.start[row] : self.start[row + 1]])
        return mine[mine != self.column[target]]

    def candidates(self, user_id: str, target: str) -> Sequence[str]:
        """The items that may answer a sample: a view."""
        return Others(self.ids, self.column, self.barred(user_id, target))

    def trie(self, user_id: str, target: str) -> Node:
        """The trie of their answers, which shares with ``root`` what is not on barred paths."""
        barred = self.barred(user_id, target)
        return pruned(self.root, [self.answers[place] for place in barred.tolist()])


def markers(prepared: Prepared, prompt: Prompt, tokenizer: Any) -> list[list[int]]:
    """The tokens of each item's marker ``[ITEM_id]`` alone, which tells it from all others."""
    lines = [prompt.item_text(item, None) for item in prepared.items["item_id"]]
    return list(tokenizer(lines, add_special_tokens=False)["input_ids"])
