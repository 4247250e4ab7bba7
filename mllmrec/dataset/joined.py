"""Texts from published files, brought to our items and samples: by ids, never by row number.

A text whose file tells the item's title must tell ours. Ids are small numbers in many data sets,
so a file of another one would seem to fit.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mllmrec.asking import Reply
from mllmrec.dataset.lines import log_join
from mllmrec.dataset.published import SHOWN, Entry, captions, rationales
from mllmrec.errors import Refusal
from mllmrec.records import Prepared, Split

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Join:
    """What became of the entries of one file; ``stage`` is whose ``adopt`` it is."""

    stage: str
    file: Path
    entries: int
    found: int = 0
    other_texts: int = 0
    lost: list[str] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)

    def lose(self, entry: Entry, why: str) -> None:
        if len(self.lost) < SHOWN:
            self.lost.append(f"{entry.place}: {why}")

    def keep(self, id: str, entry: Entry) -> None:
        """The first text for an item or a sample stays; other ones are counted."""
        before = self.replies.get(id)
        if before is None or before.text is None:
            self.replies[id] = Reply(id=id, text=entry.text, why=entry.why)
        elif entry.text not in (None, before.text):
            self.other_texts += 1

    def settle(self, what: str, min_join: float) -> list[Reply]:
        """Tell the hit rate, and refuse one below ``min_join``."""
        log_join(f"{what}, {self.file.name}", self.found, self.entries)
        if self.other_texts:
            log.warning(
                "%s: %d entries are of something told before, with another text: the first is kept",
                self.file.name,
                self.other_texts,
            )
        rate = int(self.found / self.entries * 100) / 100
        if self.found < min_join * self.entries or not self.found:
            raise Refusal(
                f"{self.stage}.adopt={self.file}: {self.found} of {self.entries} {what}; not"
                f" {'; '.join(self.lost)}",
                allowed=f"a share of {self.stage}.min_join={min_join:g} at least",
                do=f"type {self.stage}.adopt=FILE with the file of this dataset"
                + f", or {self.stage}.min_join={rate:g}" * (rate > 0),
            )
        if self.lost:
            log.warning("%s: left out, such as %s", self.file.name, "; ".join(self.lost))
        return list(self.replies.values())


def captions_of(file: Path, prepared: Prepared, *, stage: str, min_join: float) -> list[Reply]:
    """A reply an item that the file has something for.

    Raises:
        Refusal: the file is no file of captions, or fits this dataset too badly.
    """
    entries, titles = captions(file, f"{stage}.adopt"), prepared.titles
    join = Join(stage=stage, file=file, entries=len(entries))
    for entry in entries:
        if why := stranger(entry, titles.get(entry.item_id)):
            join.lose(entry, why)
            continue
        join.found += 1
        join.keep(entry.item_id, entry)
    return join.settle("captions found their item", min_join)


def rationales_of(file: Path, prepared: Prepared, *, stage: str, min_join: float) -> list[Reply]:
    """A reply a training or validation sample whose user and target the file has something for.

    Their files are of training alone: what is for validation here is a part of theirs.

    Raises:
        Refusal: the file is no file of rationales, or fits this dataset too badly.
    """
    entries, titles = rationales(file, f"{stage}.adopt"), prepared.titles
    join = Join(stage=stage, file=file, entries=len(entries))
    asked = by_target(prepared, ("train", "validation"))
    for entry in entries:
        key = (str(entry.user_id), entry.item_id)
        why = stranger(entry, titles.get(entry.item_id))
        if why or key not in asked:
            join.lose(entry, why or "no training sample of this user has this target")
            continue
        join.found += 1
        for id in asked[key]:
            join.keep(id, entry)
    return join.settle("rationales found their user and target", min_join)


def stranger(entry: Entry, title: str | None) -> str | None:
    """Why an entry is not of our item, or None where it is."""
    if title is None:
        return "no such item here"
    if entry.title is not None and folded(entry.title) != folded(title):
        return f"is titled '{entry.title}' there and '{title}' here"
    return None


def by_target(prepared: Prepared, splits: Iterable[Split]) -> dict[tuple[str, str], list[str]]:
    """The ids of the samples of these splits by user and target."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for split in splits:
        table = prepared.samples(split).select("sample_id", "user_id", "target")
        for id, user, target in table.iter_rows():
            found[user, target].append(id)
    return found


def folded(text: str) -> str:
    return " ".join(text.casefold().split())
