"""Methods held against each other: what they learn by rollouts and by time, seeds together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mllmrec import ranking
from mllmrec.comparison.curves import thinned
from mllmrec.comparison.lines import (
    CONTROL,
    GRPO,
    Bounds,
    Line,
    Member,
    lines_of,
    over_seeds,
)
from mllmrec.comparison.options import Options
from mllmrec.comparison.ranks import Board, Ranks
from mllmrec.comparison.values import admissible, measured, tested_of
from mllmrec.training.inflation import NDCG
from mllmrec.training.times import COST, SECONDS

MANY = 60  # lines: more are told run by run alone
POINTS = 100  # of a curve
WINDOWS = 20  # of what changes from step to step, over which it is averaged
BASE = "sft"
COUNTED = ("rollouts", "tokens")
GROUPS = ("groups/no_signal", "groups/unique")
Curve = dict[str, Any]


def study(board: Board, options: Options, primary: str) -> dict[str, Any] | None:
    """The lines of these runs, GRPO's before SFT's; None where no GRPO looked at a probe.

    ``curve`` is the probe's NDCG@5 by step, with what had been spent by then; ``groups`` what
    became of the groups; ``costs`` the shares of a step's time; ``final`` metrics on test samples;
    ``gain`` the same less those of SFT.
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
    }


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
        "spent": {name: bounds(spent(line, name)) for name in (SECONDS, *COUNTED)},
        "final": {},
        "gain": {},
    }


def bounds(values: Sequence[float]) -> dict[str, Any] | None:
    """Mean, low, high and n over seeds; None of nothing."""
    if not values:
        return None
    return {**dict(zip(("mean", "low", "high"), over_seeds(values), strict=True)), "n": len(values)}


def spent(line: Line, name: str) -> list[float]:
    """What each member had used of something in the end."""
    found = [member.at(name, [int(member.history[-1]["step"])]) for member in line.members
             if member.history]  # fmt: skip
    return [one[0] for one in found if one is not None]


def curve(line: Line) -> Curve | None:
    """NDCG@5 of the probe at the steps that all members looked at, and the means of what was spent.

    Nobody draws rollouts in SFT: its ``rollouts`` are those that as many steps of GRPO draw by the
    knobs, prompts a step times completions of one.
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
            known = [by_knobs(member, steps) for member in line.members]
        told = [one for one in known if one is not None]
        means = [float(np.mean(column)) for column in zip(*told, strict=True)]
        made[name] = means if len(told) == len(known) else None
    return made


def columns(rows: Sequence[Bounds]) -> Curve:
    return {name: [row[at] for row in rows] for at, name in enumerate(("mean", "low", "high"))}


def by_knobs(member: Member, steps: Sequence[int]) -> list[float] | None:
    """The rollouts that GRPO draws in as many steps."""
    grpo = member.run.launch.told["config"].get(GRPO) or {}
    prompts, each = grpo.get("batch_size"), grpo.get("num_generations")
    if prompts is None or each is None:
        return None
    return [float(step * prompts * each) for step in steps]


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
    """The share of all its steps' CPU time that each part had, a mean over seeds."""
    found: dict[str, list[float]] = {}
    for member in line.members:
        times: Mapping[str, Any] = member.times
        took = np.diff(np.asarray(times.get(SECONDS, []), dtype=np.float64), prepend=0.0)
        if not took.sum() > 0:
            continue
        for name in times:
            if name.startswith(COST):
                shares = np.array([one or 0.0 for one in times[name]])
                part = name.removeprefix(COST)
                found.setdefault(part, []).append(float((shares * took).sum() / took.sum()))
    return {part: sum(shares) / len(line.members) for part, shares in found.items()}


def final(board: Board, options: Options, protocol: str, line: Line) -> dict[str, Any]:
    """Each tested metric on the test samples, a mean over seeds with its interval."""
    rankings = [ranking_of(board, protocol, member, line.label) for member in line.members]
    known = [one for one in rankings if one]
    if not known:
        return {}
    return {
        metric: bounds([float(measured(metric, one.ranks).mean()) for one in known])
        for metric in admissible(options.tested, known[0].samples.candidates)
    }


def ranking_of(board: Board, protocol: str, member: Member, policy: str) -> Ranks | None:
    """The rankings by a member's model, of the first run that has them."""
    row = board.by.get((policy, protocol), [])
    return next((row[place] for place in member.places if row and row[place]), None)


def pairs_of(board: Board, protocol: str, line: Line) -> list[tuple[Ranks, Ranks]]:
    """Of each member its rankings and those of SFT, where both are of the same samples."""
    base = board.by.get((BASE, protocol), [])
    found = []
    for member in line.members:
        for place in member.places:
            own = board.by.get((line.label, protocol), [None] * len(board.runs))[place]
            other = base[place] if base else None
            if own and other and own.samples is other.samples:
                found.append((own, other))
                break
    return found


def gains(
    board: Board, options: Options, protocol: str, metric: str, found: Sequence[Line]
) -> list[dict[str, Any] | None]:
    """What each line gains over SFT, sample by sample.

    ``diff`` is the mean over seeds. ``low``, ``high`` and ``p`` are of other test samples with
    these seeds: each sample's differences are averaged over seeds and then resampled (paired
    bootstrap); ``holm`` is p adjusted over the lines. ``seeds`` is the interval of other seeds on
    these samples. Where seeds have ranked different samples there is the latter alone.
    """
    told: list[dict[str, Any] | None] = []
    tested: dict[int, Any] = {}
    for at, line in enumerate(found):
        pairs = pairs_of(board, protocol, line)
        if not pairs or metric not in admissible([metric], pairs[0][0].samples.candidates):
            told.append(None)
            continue
        paired = [measured(metric, a.ranks) - measured(metric, b.ranks) for a, b in pairs]
        mean, low, high = over_seeds([float(one.mean()) for one in paired])
        told.append({"diff": mean, "seeds": [low, high], "n": len(pairs), **dict.fromkeys(TESTS)})
        if all(one.samples is pairs[0][0].samples for one, _ in pairs):
            tested[at] = np.mean(paired, axis=0)
    lines = dict(zip(tested, tests_of(list(tested.values()), options.seed), strict=True))
    for at, values in lines.items():
        own = told[at]
        assert own is not None
        told[at] = {**own, **values}
    return [one and {**one, "verdict": verdict(one)} for one in told]


TESTS = ("low", "high", "p", "holm")


def tests_of(columns: Sequence[Any], seed: int) -> list[dict[str, float]]:
    """Bounds and p-values of each column of paired differences, adjusted over all of them."""
    if not columns:
        return []
    lines = tested_of(np.column_stack(columns), seed)
    adjusted = ranking.holm([fine for _, fine in lines])
    return [
        {"low": line.low, "high": line.high, "p": line.p, "holm": max(line.p, own)}
        for (line, _), own in zip(lines, adjusted, strict=True)
    ]


def verdict(gain: Mapping[str, Any]) -> str:
    """What both kinds of chance allow to say: samples by adjusted p, seeds by their interval."""
    low, high = gain["seeds"]
    by_seeds = None if low is None else low > 0 or high < 0
    if gain["holm"] is None or gain["holm"] >= 0.05 or by_seeds is False:
        return "not distinguishable"
    said = "above" if gain["diff"] > 0 else "below"
    return said if by_seeds else f"{said}, of one seed"
