"""Whether a rationale names what it was to be written without: the target.

Definition of our own: the published description names a confidence, and no gate. A text leaks
where it holds the target's id as prompts write it, its title, or enough words that are the
title's own. What the writer read in the history is no leak: words of the history's titles and
captions are left out of account, as are words that many titles share.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mllmrec.prompt import escape

RARE = 0.01  # share of the titles that may hold a word which still tells one title from others
_WORD = re.compile(r"[^\W_]+")


def words(text: str | None) -> list[str]:
    """The words of a text, in small letters."""
    return _WORD.findall((text or "").casefold())


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Knows in how many titles each word stands; ``least`` words of a title's own are a leak."""

    titles: Counter[str]
    count: int
    least: int

    @classmethod
    def over(cls, titles: Iterable[str], least: int) -> "Gate":
        """The gate for a catalogue of these titles."""
        sets = [set(words(title)) for title in titles]
        found = Counter(word for one in sets for word in one)
        return cls(titles=found, count=len(sets), least=least)

    def leak(self, text: str, target_id: str, title: str, seen: Sequence[str]) -> str | None:
        """How a text names the target, or None; ``seen`` are the texts its writer was shown."""
        if f"ITEM_{escape(target_id)}]" in text or is_bare(target_id, text):
            return f"the id {target_id}"
        told, own = words(text), words(title)
        known = {word for one in seen for word in words(one)}
        if self.is_telling(own, known) and holds(told, own):
            return f"the title {title!r}"
        rare = {word for word in own if self.is_rare(word) and word not in known}
        if len(found := sorted(rare & set(told))) >= self.least:
            return f"words of the title: {', '.join(found)}"
        return None

    def is_rare(self, word: str) -> bool:
        """Whether a word tells a title from others: few have it, and it is no mere number."""
        return self.titles[word] <= max(1.0, RARE * self.count) and not word.isdigit()

    def is_telling(self, title: Sequence[str], known: set[str]) -> bool:
        """Whether a title's words in a row can only mean that title: not one common word alone."""
        return len(title) > 1 or any(self.is_rare(word) and word not in known for word in title)


def holds(told: Sequence[str], title: Sequence[str]) -> bool:
    """Whether the words of a title stand in a text one behind the other."""
    size = len(title)
    return any(told[i : i + size] == title for i in range(len(told) - size + 1)) if size else False


def is_bare(item_id: str, text: str) -> bool:
    """Whether an id stands in a text by itself; short ones do so by chance, and do not count."""
    if len(item_id) < (5 if item_id.isdigit() else 4):
        return False
    return re.search(rf"(?<![\w]){re.escape(item_id)}(?![\w])", text) is not None
