"""Items by what people call them: an id, a title, or a title in other letters."""

import difflib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import polars as pl

Match = Literal["auto", "id", "title"]
NEAR = 3  # items that are named beside one that nobody knows
MANY = 50_000  # titles that are still compared one by one, where no word of them is alike


class Unknown(Exception):
    """A name that is no item's, or several items': what is wrong, and what to type instead."""

    def __init__(self, wrong: str, do: str) -> None:
        self.wrong, self.do = wrong, do
        super().__init__(wrong)


def folded(text: str) -> str:
    """A title without what people type differently: case, spaces, composed letters."""
    return " ".join(unicodedata.normalize("NFC", text).split()).casefold()


class Names:
    """Finds items of a catalogue (ITEMS) by ``match``: their id, their title, or whichever fits.

    A title is matched as it is written first, then without regard to case.
    """

    def __init__(self, items: pl.DataFrame, match: Match) -> None:
        self.titles = dict(zip(items["item_id"], items["title"], strict=True))
        self.match = match
        told = [(id, title) for id, title in self.titles.items() if title]
        self.exact = grouped((title, id) for id, title in told)
        self.folded = grouped((folded(title), id) for id, title in told)

    def find(self, name: str) -> str:
        """The id of the one item of this name.

        Raises:
            Unknown: there is none, or there are several.
        """
        is_id = self.match != "title" and name in self.titles
        exact = self.exact.get(name, []) if self.match != "id" else []
        if is_id:
            if others := [id for id in exact if id != name]:
                raise Unknown(
                    f"{name!r} is the id of {self.told(name)} and the title of {others[0]}",
                    "recommend.match=id or recommend.match=title",
                )
            return name
        found = exact or (self.folded.get(folded(name), []) if self.match != "id" else [])
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(found[:NEAR]) + ", …" * (len(found) > NEAR)
            raise Unknown(
                f"{name!r} is the title of {len(found)} items ({listed})", "the id of one of them"
            )
        near = self.near(name)
        told = "; ".join(f"{id} {self.titles[id]!r}" for id in near)
        kind = {"auto": "item", "id": "item's id", "title": "item's title"}[self.match]
        raise Unknown(
            f"{name!r} is no {kind}" + (f", near it: {told}" if told else ""),
            "an id or a title of items.parquet" if not near else f"{near[0]} or another of these",
        )

    def told(self, id: str) -> str:
        """An item for people."""
        return f"{self.titles[id]!r}" if self.titles[id] else f"item {id}"

    def near(self, name: str) -> list[str]:
        """Ids of the items that may have been meant: whose title holds the words, or is alike."""
        if self.match == "id":
            return difflib.get_close_matches(name, self.titles, n=NEAR)
        asked = folded(name)
        holding = sorted((title for title in self.folded if asked in title), key=len)[:NEAR]
        beginnings = {word[:3] for word in asked.split()}
        alike = [t for t in self.folded if beginnings & {word[:3] for word in t.split()}]
        if not alike and len(self.folded) <= MANY:
            alike = [*self.folded]
        close = difflib.get_close_matches(asked, alike, n=NEAR)
        found = list(dict.fromkeys([*holding, *close]))[:NEAR]
        return [self.folded[title][0] for title in found]


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Values by key, in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return dict(found)
