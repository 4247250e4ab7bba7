"""A rationale from the attributes of the history, without any model."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated

import polars as pl
from pydantic import Field

from mllmrec.reasoner.base import Reasoner


class Template(Reasoner):
    """Says which genres lead the history and the latest items, and what would fit next.

    ``recent`` is the number of latest items that are told apart from the whole history.
    """

    recent: Annotated[int, Field(ge=1)]

    def write(self, histories: pl.DataFrame, items: pl.DataFrame) -> Iterator[str]:
        genres = dict(zip(items["item_id"], items["genres"].to_list(), strict=True))
        for history in histories["history"]:
            yield self.tell([genres.get(item) or [] for item in history])

    def tell(self, genres: Sequence[Sequence[str]]) -> str:
        """The text for one history, given the genres of each of its items, oldest first."""
        whole, latest = leading(genres), leading(genres[-self.recent :])
        if not whole:
            return "The history says nothing of genres; what is popular would fit next."
        seen = ", ".join(f"{name} ({count} of {len(genres)})" for name, count in whole[:2])
        return f"Mostly {seen}; lately {latest[0][0] if latest else whole[0][0]}, which fits next."


def leading(genres: Sequence[Sequence[str]]) -> list[tuple[str, int]]:
    """Genres and how many items have them, most frequent first, then by name."""
    counts = Counter(genre for item in genres for genre in item)
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
