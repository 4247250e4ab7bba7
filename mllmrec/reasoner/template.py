"""A rationale from genres and captions of the history, without any model."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mllmrec.asking import Reply
from mllmrec.cases import Case, Shown
from mllmrec.prompt import shown_title
from mllmrec.reasoner.base import Reasoner
from mllmrec.schema import Words

LITTLE = frozenset(
    re.findall(r"\w+", "a an and are at by for from in is its of on or the this to with")
)
Led = tuple[str, int]  # what leads, and how many items have it


class Template(Reasoner):
    """Says which genre leads the history, what the latest pictures share, and that it would fit.

    ``recent`` is the number of latest items that are told apart from the whole history,
    ``caption_words`` how many telling words at a caption's beginning are its gist. The text is
    short, as a small model reads it: ``Mostly drama (4 of 8); lately teal circles (3 of 3), which
    would fit next.`` Without captions ``lately`` tells a genre. A target that is shown is named.
    """

    recent: Annotated[int, Field(ge=1)]
    caption_words: Annotated[int, Field(ge=1)]

    def write(self, cases: Sequence[Case], words: Words, journal: Path) -> list[Reply]:
        return [Reply(id=case.sample_id, text=self.tell(case)) for case in cases]

    def tell(self, case: Case) -> str:
        """The text for one case."""
        whole, latest = case.history, case.history[-self.recent :]
        mostly = leading_genre(whole) or leading_gist(self.gists(whole))
        lately = leading_gist(self.gists(latest)) or leading_genre(latest)
        parts = [f"mostly {share(mostly, whole)}"] if mostly else []
        parts += [f"lately {share(lately, latest)}"] if lately else []
        said = "; ".join(parts) or "the history tells no genres and no pictures"
        if case.target is not None:
            named = ", ".join(
                part for part in (shown_title(case.target.title), self.look(case.target)) if part
            )
            end = f"so what comes next is {named}."
        else:
            end = "which would fit next." if lately else "so what is popular would fit next."
        return f"{said[0].upper()}{said[1:]}, {end}"

    def gists(self, items: Sequence[Shown]) -> list[list[str]]:
        return [gist(item.caption, self.caption_words) for item in items]

    def look(self, item: Shown) -> str:
        return " ".join(gist(item.caption, self.caption_words))


def share(led: Led, items: Sequence[Shown]) -> str:
    return f"{led[0]} ({led[1]} of {len(items)})"


def gist(caption: str | None, words: int) -> list[str]:
    """The first telling words of a caption, without the little ones.

    "Teal, scattered circles in white" in three words is teal, scattered, circles.
    """
    said = [word.strip(",.;:!?") for word in shown_title(caption).lower().split()]
    return [word for word in said if word and word not in LITTLE][:words]


def leading_genre(items: Sequence[Shown]) -> Led | None:
    """The genre that most items have, of equals the first by name."""
    counts = Counter(shown_title(genre) for item in items for genre in dict.fromkeys(item.genres))
    return min(counts.items(), key=lambda pair: (-pair[1], pair[0]), default=None)


def leading_gist(gists: Sequence[Sequence[str]]) -> Led | None:
    """What most gists begin with, of equals the latest, and what else all of those share.

    Captions begin with what tells a picture apart most, so the first word says whose company it is
    in.
    """
    counts = Counter(words[0] for words in gists if words)
    if not counts:
        return None
    most = max(counts.values())
    first = next(words[0] for words in reversed(gists) if words and counts[words[0]] == most)
    alike = [words for words in gists if words and words[0] == first]
    return " ".join(word for word in alike[-1] if all(word in words for words in alike)), most
