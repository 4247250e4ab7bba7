"""What could leak from one split into another, counted part by part."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from mllmrec.dataset.coded import Array, Lists
from mllmrec.dataset.negatives import Mine
from mllmrec.dataset.split import SPLITS, Plan, Targets
from mllmrec.errors import Refusal
from mllmrec.records import Split

log = logging.getLogger(__name__)
BROKEN = {
    "target_in_history": "targets in their own history",
    "target_not_among_candidates": "targets not among their candidates",
    "candidates_repeated": "samples with a candidate twice",
    "target_older_than_history": "targets older than the newest item of their history",
}
TRAINED = "_targets_trained_by_same_user"
TOLD = {
    "validation_targets_trained_by_same_user": "validation targets that their user was trained on",
    "test_targets_trained_by_same_user": "test targets that their user was trained on",
    "own_items_as_negatives": "samples with an item of the user's own among the negatives",
    "validation_targets_never_trained": "validation targets that nobody was trained on",
    "test_targets_never_trained": "test targets that nobody was trained on",
    "users_in_train_and_test": "users with samples in train and in test",
    "target_as_old_as_history": "targets at the same time as the newest item of their history",
    "trained_after_first_test_target": "training interactions after the oldest test target",
    "titles_of_several_items": "titles that several items share",
}


TIMED = (
    "target_older_than_history",
    "target_as_old_as_history",
    "trained_after_first_test_target",
)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Counts that should be 0 (BROKEN), then some that say what the data are like (TOLD).

    Samples come in parts. Where the data know no times, those about time (TIMED) are left out.
    ``items`` is how many there are, with those of adopted candidates that nobody chose.
    """

    plan: Plan
    items: int
    counts: dict[str, int] = field(default_factory=dict)
    users: dict[str, Array] = field(default_factory=dict)
    oldest: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        timeless = () if self.plan.time is not None else TIMED
        self.counts.update({name: 0 for name in (*BROKEN, *TOLD) if name not in timeless})
        for split in SPLITS:
            self.users[split] = np.zeros(len(self.plan.user_ids), bool)

    def add(
        self, split: Split, some: Targets, history: Lists, candidates: Mapping[str, Lists]
    ) -> None:
        """Look at samples, and their candidates by column, as places of items."""
        target, user = self.plan.target(some), self.plan.user[some.row]
        self.users[split][user] = True
        self.counts["target_in_history"] += holding(history, target)
        for listed in candidates.values():
            self.counts["target_not_among_candidates"] += len(some) - holding(listed, target)
            self.counts["candidates_repeated"] += repeating(listed, self.items)
        self._own(user, target, candidates)
        if split != "train":
            places = self.plan.trained_by(user)
            trained = Lists(start=places.start, flat=self.plan.items.flat[places.flat])
            self.counts[split + TRAINED] += holding(trained, target)
            never = self.plan.popularity[target] == 0
            self.counts[f"{split}_targets_never_trained"] += int(never.sum())
        if self.plan.time is not None:
            self._times(split, some, self.plan.time)

    def _own(self, user: Array, target: Array, candidates: Mapping[str, Lists]) -> None:
        mine = Mine.of(self.plan.owned, user, self.items)
        for listed in candidates.values():
            is_negative = listed.flat != target[listed.owner]
            whose = listed.owner[is_negative]
            is_own = mine.holds(whose, listed.flat[is_negative, None])[:, 0]
            self.counts["own_items_as_negatives"] += len(np.unique(whose[is_own]))

    def _times(self, split: Split, some: Targets, time: Array) -> None:
        place = self.plan.items.start[some.row] + some.at
        newest, told = time[place - 1], time[place]
        self.counts["target_older_than_history"] += int((told < newest).sum())
        self.counts["target_as_old_as_history"] += int((told == newest).sum())
        if split == "test":
            self.oldest.append(int(told.min()))

    def finish(self, titles: pl.Series) -> dict[str, int]:
        """All counts, once every part was seen; ``titles`` are those of the pool's items."""
        both = self.users["train"] & self.users["test"]
        self.counts["users_in_train_and_test"] = int(both.sum())
        shared = titles.value_counts().filter(pl.col("count") > 1)
        self.counts["titles_of_several_items"] = shared.height
        if self.plan.time is not None and self.oldest:
            late = "trained_after_first_test_target"
            for _, places in self.plan.training():
                after = self.plan.time[places.flat] > min(self.oldest)
                self.counts[late] += int(after.sum())
        return {name: self.counts[name] for name in (*BROKEN, *TOLD) if name in self.counts}


def holding(lists: Lists, numbers: Array) -> int:
    """How many of the lists hold the number that stands at their place."""
    return len(np.unique(lists.owner[lists.flat == numbers[lists.owner]]))


def repeating(lists: Lists, items: int) -> int:
    """How many of the lists hold one of so many items twice."""
    pairs = np.sort(lists.owner * items + lists.flat)
    return len(np.unique(pairs[1:][pairs[1:] == pairs[:-1]] // items))


def table(counts: Mapping[str, int]) -> str:
    """The counts for the terminal, a line each."""
    words = BROKEN | TOLD
    width = max(len(f"{count:,}") for count in counts.values())
    lines = [
        f"  {count:>{width},}  {words[name]}{' (must be 0)' * (name in BROKEN)}"
        for name, count in counts.items()
    ]
    return "\n".join(["audit of leaks:", *lines])


def judge(counts: Mapping[str, int]) -> None:
    """Refuse samples that cannot be right, and warn of targets that were trained on.

    Raises:
        Refusal: one of the counts that must be 0 is not.
    """
    broken = [f"{name} {counts[name]}" for name in BROKEN if counts.get(name)]
    if broken:
        raise Refusal(
            f"prepare: the samples are broken, {', '.join(broken)}",
            allowed="a target outside its history, once among candidates that differ",
            do="look for items that stand twice in the raw files; whole data that give this are"
            " a bug of mllmrec's to report, with this line",
        )
    for name, count in counts.items():
        if name.endswith(TRAINED) and count:
            log.warning("LEAK: %s %d: these users were trained on their own targets", name, count)


class Fingerprint:
    """A hash of who is asked to choose among what, in which order."""

    def __init__(self) -> None:
        self.made, self.between = hashlib.sha256(), b""

    def add(self, sample_ids: pl.Series, candidates: pl.Series) -> None:
        """The next samples, with the ids of their candidates."""
        rows = pl.DataFrame([sample_ids.alias("id"), candidates.alias("among")])
        told = rows.select(pl.format("{} {}", "id", pl.col("among").list.join("\x1f")))
        self.made.update(self.between + "\n".join(told.to_series()).encode())
        self.between = b"\n"

    @property
    def digits(self) -> str:
        """The first 16."""
        return self.made.hexdigest()[:16]
