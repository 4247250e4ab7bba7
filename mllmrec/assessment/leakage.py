"""Whether a rationale names what it was to be written without: the target.

Definition of our own: the published description names a confidence, and no gate. A text leaks
where it holds the target's id as prompts write it, its title, or enough words that are the
title's own. What the writer read in the history is no leak: words of the history's titles and
captions are left out of account, as are words that many titles or many rationales share.

A title goes by itself, without the year at its end, and without what stands in brackets. Accents
and capitals make no difference. In scripts that put no spaces between words it is looked for as
a run of letters.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mllmrec.prompt import escape

RARE = 0.01  # share of the titles that may hold a word which still tells one title from others
COMMON = 0.2  # share of the rationales above which a word is one of the language, not of a title
ENOUGH = 50  # rationales, below which nothing is common
_WORD = re.compile(r"[^\W_]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^][]*\]")
# Thai, Lao, Burmese, Khmer, kana and Han; Korean puts its endings to words without a space.
_UNSPACED = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
    "\U00020000-\U0003134f]"
)


def folded(text: str | None) -> str:
    """A text in small letters and without accents: "Amélie" is "amelie"."""
    apart = unicodedata.normalize("NFKD", (text or "").casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", apart))


def words(text: str | None) -> list[str]:
    """The words of a text, folded."""
    return _WORD.findall(folded(text))


def names(title: str) -> list[list[str]]:
    """What a title goes by, each in words: itself, without its year, and without any brackets."""
    whole = folded(title)
    forms = (whole, _YEAR.sub("", whole), _BRACKETS.sub(" ", whole))
    found = dict.fromkeys(tuple(_WORD.findall(form)) for form in forms)
    return [list(name) for name in found if name]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Knows in how many titles each word stands; ``least`` words of a title's own are a leak.

    A title that has fewer words of its own is named by all of them. ``texts`` counts words in
    the ``told`` rationales that are judged together, where there are such.
    """

    titles: Counter[str]
    count: int
    least: int
    texts: Counter[str] = field(default_factory=Counter)
    told: int = 0

    @classmethod
    def over(cls, titles: Iterable[str], least: int, texts: Sequence[str] = ()) -> "Gate":
        """The gate for a catalogue of these titles, and for these rationales."""
        sets = [set(words(title)) for title in titles]
        return cls(
            titles=Counter(word for one in sets for word in one),
            count=len(sets),
            least=least,
            texts=Counter(word for text in texts for word in set(words(text))),
            told=len(texts),
        )

    def leak(self, text: str, target_id: str, title: str, seen: Sequence[str]) -> str | None:
        """How a text names the target, or None; ``seen`` are the texts its writer was shown."""
        if f"ITEM_{escape(target_id)}]" in text or is_bare(target_id, text):
            return f"the id {target_id}"
        told, shown = words(text), [words(one) for one in seen]
        known = {word for one in shown for word in one}
        for own in names(title):
            if self.is_telling(own, known) and holds(told, own):
                return f"the title {title!r}"
            if is_unspaced(own) and runs(told, own) and not any(runs(one, own) for one in shown):
                return f"the title {title!r}"
            rare = {word for word in own if self.is_rare(word)}
            found = sorted(rare.intersection(told) - known)
            if found and len(found) >= min(self.least, len(rare)):
                return f"words of the title: {', '.join(found)}"
        return None

    def is_rare(self, word: str) -> bool:
        """Whether a word tells a title from others: few have it, and it is no mere number."""
        is_few = self.titles[word] <= max(1.0, RARE * self.count)
        return is_few and not word.isdigit() and not self.is_common(word)

    def is_common(self, word: str) -> bool:
        """Whether so many rationales have a word that it tells of no title, as "it" or "next"."""
        return self.told >= ENOUGH and self.texts[word] > COMMON * self.told

    def is_telling(self, title: Sequence[str], known: set[str]) -> bool:
        """Whether a title's words in a row can only mean that title: not common words alone."""
        if len(title) == 1:
            return self.is_rare(title[0]) and title[0] not in known
        return not all(self.is_common(word) for word in title)


def holds(told: Sequence[str], title: Sequence[str]) -> bool:
    """Whether the words of a title stand in a text one behind the other."""
    size = len(title)
    return any(told[i : i + size] == title for i in range(len(told) - size + 1)) if size else False


def is_unspaced(title: Sequence[str]) -> bool:
    """Whether a title has two letters or more of a script in which words run into one another."""
    return len(_UNSPACED.findall("".join(title))) > 1


def runs(told: Sequence[str], title: Sequence[str]) -> bool:
    """Whether the letters of a title stand in a text in a row, wherever its words begin."""
    return "".join(title) in "".join(told)


def is_bare(item_id: str, text: str) -> bool:
    """Whether an id stands in a text by itself; short ones do so by chance, and do not count."""
    if len(item_id) < (5 if item_id.isdigit() else 4):
        return False
    return re.search(rf"(?<![\w]){re.escape(item_id)}(?![\w])", text) is not None
