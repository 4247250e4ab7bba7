"""Which runs are one line: those whose models differ by nothing but the seed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from mllmrec.artifacts import digest
from mllmrec.comparison.chosen import own_words
from mllmrec.comparison.curves import HISTORY
from mllmrec.comparison.run import Run

LEVEL = 0.95
GRPO, CONTROL = "grpo", "sft_continued"
ALGORITHM = "algorithm="
SEEDS = ("seed", "grpo.seed", "sft_continued.seed")
# What is typed and moves no GRPO model.
ELSEWHERE = ("sft_continued.", "evaluate.", "recommender", "export.", "recommend.")
Bounds = tuple[float, float | None, float | None]


def over_seeds(values: Sequence[float]) -> Bounds:
    """Mean and 95 % interval of a mean over seeds, mean ± t · s/√n (Student, 1908); of one none."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def bounds(values: Sequence[float]) -> dict[str, Any] | None:
    """Mean, low, high and n over seeds; None of nothing."""
    if not values:
        return None
    return {**dict(zip(("mean", "low", "high"), over_seeds(values), strict=True)), "n": len(values)}


@dataclass(eq=False, kw_only=True)
class Member:
    """One trained model of a line: the first run that stands on it, and all that do."""

    run: Run
    label: str
    places: list[int] = field(default_factory=list)

    @property
    def seed(self) -> Any:
        return (self.manifest.get("identity") or {}).get("seed")

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return self.run.manifest(self.label) or {}

    @cached_property
    def history(self) -> list[Mapping[str, float]]:
        """What it logged, by step."""
        return self.run.table(self.label, HISTORY) or []

    @property
    def times(self) -> Mapping[str, Sequence[float | None]]:
        """What it took, a column a name; nothing of one that was trained before they were kept."""
        return self.manifest.get("times") or {}

    def at(self, name: str, steps: Sequence[int]) -> list[float] | None:
        """A number that grows from 0, at each of these steps; None where nobody counted."""
        if name in self.times:
            known = list(zip(self.times["step"], self.times[name], strict=True))
        else:
            known = [(entry["step"], entry[name]) for entry in self.history if name in entry]
        if not known:
            return None
        x, y = zip(*known, strict=True)
        return [float(v) for v in np.interp(steps, [0, *x], [0, *y])]


@dataclass(eq=False, kw_only=True)
class Line:
    """Models that are one but for their seeds."""

    name: str
    label: str
    members: list[Member]


def lines_of(runs: Sequence[Run]) -> list[Line]:
    """The GRPO models of all runs, seeds together, and what SFT for longer gave beside them."""
    found = []
    for label in (GRPO, CONTROL):
        groups = list(grouped(runs, label).values())
        names = (named if label == GRPO else named_control)(groups)
        found += [
            Line(name=name, label=label, members=members)
            for name, members in zip(unlike(names), groups, strict=True)
        ]
    return found


def grouped(runs: Sequence[Run], label: str) -> dict[str, list[Member]]:
    """The models of one stage by what they are but for seeds, each once, if they are there."""
    found: dict[str, dict[str, Member]] = {}
    for place, run in enumerate(runs):
        if (step := run.steps.get(label)) and run.manifest(label) is not None:
            own = found.setdefault(likeness(run, step["id"]), {})
            member = own.setdefault(step["id"], Member(run=run, label=label))
            member.places.append(place)
    return {
        key: sorted(own.values(), key=lambda one: (one.seed is None, one.seed))
        for key, own in found.items()
    }


def without_model(runs: Sequence[Run], label: str) -> list[str]:
    """The names of runs that were to have such a model and have none that can be read."""
    return [run.name for run in runs if label in run.steps and run.manifest(label) is None]


def likeness(run: Run, id: str) -> str:
    """A digest of what an artifact is and stands on, all seeds left out.

    Of one whose manifest is gone it is the id: that one is like none but itself.
    """
    step = run.by_id.get(id)
    artifact = run.at(Path(step["folder"])) if step else None
    if step is None or artifact is None or not artifact.is_readable:
        return id
    identity = dict(artifact.manifest["identity"])
    identity.pop("seed", None)
    below = {name: likeness(run, one) for name, one in identity.pop("inputs", {}).items()}
    return digest({"stage": step["stage"], "inputs": below, **identity})


def named(groups: Sequence[Sequence[Member]]) -> list[str]:
    """What was typed of each and not of all, seeds left out: ``riser`` of ``algorithm=riser``.

    Where there is one alone, its algorithm.
    """
    words = [typed(own) for own in groups]
    if len(words) == 1:
        own = [[word for word in words[0] if word.startswith(ALGORITHM)]]
    else:
        common = set.intersection(*map(set, words)) if words else set()
        own = [[word for word in some if word not in common] for some in words]
    told = [" ".join(word.removeprefix(ALGORITHM) for word in some) for some in own]
    return [said or (GRPO if len(groups) == 1 else "as set by default") for said in told]


def typed(members: Sequence[Member]) -> list[str]:
    """What was typed for each of these, but for seeds and for what moves no GRPO model."""
    words = [own_words(member.run.launch) for member in members]
    return [
        word
        for word in words[0]
        if all(word in own for own in words)
        and (bare := word.lstrip("+~")).partition("=")[0] not in SEEDS
        and not bare.startswith(ELSEWHERE)
    ]


def named_control(groups: Sequence[Sequence[Member]]) -> list[str]:
    """SFT for as many steps, or for as many tokens: then of which GRPO, where there are several."""
    equal = [by_tokens(own[0]) for own in groups]
    of = named(groups) if sum(equal) > 1 else [""] * len(groups)
    return [
        f"{CONTROL}, equal tokens{f' ({what})' if what else ''}" if is_so else CONTROL
        for is_so, what in zip(equal, of, strict=True)
    ]


def by_tokens(member: Member) -> bool:
    """Whether this is SFT for as many tokens as GRPO read, and not for as many steps."""
    knobs = (member.manifest.get("identity") or {}).get("knobs", {})
    return bool(knobs.get("match") == "tokens")


def unlike(names: Sequence[str]) -> list[str]:
    """The names, numbered where several are the same."""
    often, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if often[name] > 1 else name)
    return found
