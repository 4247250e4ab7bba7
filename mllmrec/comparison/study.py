"""Methods held against each other: what they learn by rollouts and by time, seeds together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mllmrec.comparison.curves import thinned
from mllmrec.comparison.gains import BASE, final, gains
from mllmrec.comparison.lines import (
    CONTROL,
    GRPO,
    Bounds,
    Line,
    Member,
    bounds,
    by_tokens,
    lines_of,
    over_seeds,
    without_model,
)
from mllmrec.comparison.notes import listed
from mllmrec.comparison.options import Options
from mllmrec.comparison.ranks import Board
from mllmrec.comparison.run import Run
from mllmrec.training.inflation import NDCG
from mllmrec.training.times import COST, SECONDS

MANY = 60  # lines: more are told run by run alone
POINTS = 100  # of a curve
WINDOWS = 20  # of what changes from step to step, over which it is averaged
COUNTED = ("rollouts", "tokens")
GROUPS = ("groups/no_signal", "groups/unique")
Curve = dict[str, Any]


def study(board: Board, options: Options, primary: str) -> dict[str, Any] | None:
    """The lines of these runs, GRPO's before SFT's; None where no GRPO looked at a probe.

    ``curve`` is the probe's NDCG@5 by step, with what had been spent by then; ``groups`` what
    became of the groups; ``costs`` the shares of a step's time; ``final`` metrics on test samples;
    ``gain`` the same less those of SFT. ``notes`` are what to beware of, in sentences.
    """
    found = lines_of(board.runs)
    models = [member for line in found if line.label == GRPO for member in line.members]
    if len(found) > MANY or not any(looks(member) for member in models):
        return None
    protocol = primary.split("/")[1]
    told = [line_of(line) for line in found]
    for line, own in zip(found, told, strict=True):
        own["final"] = final(board, options, protocol, line)
    for metric in options.tested:
        for own, gain in zip(told, gains(board, options, protocol, metric, found), strict=True):
            if gain:
                own["gain"][metric] = gain
    return {
        "base": BASE,
        "protocol": protocol,
        "metric": primary.split("/")[2],
        "lines": told,
        "notes": [*lacking(board.runs), *said(found, told, primary.split("/")[2])],
    }


def lacking(runs: Sequence[Run]) -> list[str]:
    """Which runs are part of no line, as there is no model of theirs."""
    idle = [run.name for run in runs if not run.steps]
    notes = [f"no steps of {listed(idle)}, as yet or at all: left out"] if idle else []
    gone = {label: without_model(runs, label) for label in (GRPO, CONTROL)}
    return notes + [
        f"{label}: no model of {listed(names)} (not trained to its end, or gone since): left out"
        for label, names in gone.items()
        if names
    ]


def said(found: Sequence[Line], told: Sequence[Mapping[str, Any]], metric: str) -> list[str]:
    """Where a line's curve is not that of all its seeds to their ends, or its gain not of all."""
    notes = []
    for line, own in zip(found, told, strict=True):
        if note := shortened(line):
            notes.append(f"{line.name}: {note}")
        known, paired = (own[name].get(metric) for name in ("final", "gain"))
        if known and paired and known["n"] != paired["n"]:
            notes.append(
                f"{line.name}: its gain is of {paired['n']} of the {known['n']} seeds that its mean"
                " is of, as SFT did not rank the samples of the others"
            )
    return notes


def shortened(line: Line) -> str | None:
    """Where its curve leaves out what some of its seeds have; None where nothing is left out."""
    seen = {member.seed: set(looks(member)) for member in line.members}
    if not any(seen.values()):
        return None
    if blind := [seed for seed, steps in seen.items() if not steps]:
        return f"no curve, as {of_seeds(blind)} did not look at the probe"
    shared, every = set.intersection(*seen.values()), set.union(*seen.values())
    if shared == every:
        return None
    end = max(shared, default=0)
    if ended := [seed for seed, steps in seen.items() if max(steps) == end < max(every)]:
        return f"its curves end at step {end} of {max(every)}, where {of_seeds(ended)} did"
    return f"its curve leaves out {len(every - shared)} steps that not all seeds looked at"


def of_seeds(seeds: Sequence[Any]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def looks(member: Member) -> dict[int, float]:
    """The probe's NDCG@5 by step."""
    return {int(entry["step"]): entry[NDCG] for entry in member.history if NDCG in entry}


def line_of(line: Line) -> dict[str, Any]:
    """All of a line but what it came to on the test."""
    return {
        "name": line.name,
        "label": line.label,
        "seeds": [member.seed for member in line.members],
        "runs": sorted({place for member in line.members for place in member.places}),
        "curve": curve(line),
        "groups": {name: windows(line, name) for name in GROUPS if windows(line, name)},
        "costs": costs(line),
        "spent": {
            SECONDS: bounds(spent(line, SECONDS)),
            **{name: whole(bounds(spent(line, name))) for name in COUNTED},
        },
        "final": {},
        "gain": {},
    }


def whole(counted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A count's bounds as whole numbers, of which a comparison keeps every digit."""
    if counted is None:
        return None
    return {name: None if v is None else round(v) for name, v in counted.items()}


def spent(line: Line, name: str) -> list[float]:
    """What each member had used of something in the end."""
    found = [member.at(name, [int(member.history[-1]["step"])]) for member in line.members
             if member.history]  # fmt: skip
    return [one[0] for one in found if one is not None]


def curve(line: Line) -> Curve | None:
    """NDCG@5 of the probe at the steps that all members looked at, and the means of what was spent.

    Nobody draws rollouts in SFT: its ``rollouts`` are those that as many steps of GRPO draw
    (``by_knobs``). SFT for as many tokens takes another number of steps, and has none.
    """
    seen = [looks(member) for member in line.members]
    steps = thinned(sorted(set.intersection(*(set(one) for one in seen))), POINTS)
    if len(steps) < 2:
        return None
    made: Curve = {"step": steps, "n": len(line.members)}
    made |= columns([over_seeds([one[step] for one in seen]) for step in steps])
    for name in (SECONDS, *COUNTED):
        known = [member.at(name, steps) for member in line.members]
        if line.label == CONTROL and name == "rollouts":
            known = [
                None if by_tokens(member) else by_knobs(member, steps) for member in line.members
            ]
        told = [one for one in known if one is not None]
        means = [float(np.mean(column)) for column in zip(*told, strict=True)]
        made[name] = means if len(told) == len(known) else None
    return made


def columns(rows: Sequence[Bounds]) -> Curve:
    return {name: [row[at] for row in rows] for at, name in enumerate(("mean", "low", "high"))}


def by_knobs(member: Member, steps: Sequence[int]) -> list[float] | None:
    """The rollouts that GRPO draws in as many steps: prompts times completions, every μ-th step."""
    grpo = member.run.launch.told["config"].get(GRPO) or {}
    prompts, each = grpo.get("batch_size"), grpo.get("num_generations")
    if prompts is None or each is None:
        return None
    rounds = grpo.get("num_iterations", 1)  # launches before that knob drew at every step
    return [float(-(-step // rounds) * prompts * each) for step in steps]


def windows(line: Line, name: str) -> Curve | None:
    """A number of each step, averaged over windows of steps, and over seeds with its interval."""
    logged = [
        {int(entry["step"]): entry[name] for entry in member.history if name in entry}
        for member in line.members
    ]
    steps = sorted(set.intersection(*(set(one) for one in logged))) if logged else []
    if not steps:
        return None
    parts = [part.tolist() for part in np.array_split(steps, min(WINDOWS, len(steps)))]
    rows = [
        over_seeds([float(np.mean([one[step] for step in part])) for one in logged])
        for part in parts
    ]
    whole = bounds([float(np.mean([one[step] for step in steps])) for one in logged])
    made: Curve = {"step": [part[-1] for part in parts], "whole": whole}
    return made | columns(rows)


def costs(line: Line) -> dict[str, float]:
    """The share of all its steps' CPU time that each part had, a mean over seeds that kept it."""
    found: dict[str, list[float]] = {}
    counted = 0
    for member in line.members:
        times: Mapping[str, Any] = member.times
        took = np.diff(np.asarray(times.get(SECONDS, []), dtype=np.float64), prepend=0.0)
        if not took.sum() > 0:
            continue
        counted += 1
        for name in times:
            if name.startswith(COST):
                shares = np.array([one or 0.0 for one in times[name]])
                part = name.removeprefix(COST)
                found.setdefault(part, []).append(float((shares * took).sum() / took.sum()))
    return {part: sum(shares) / counted for part, shares in found.items()}
