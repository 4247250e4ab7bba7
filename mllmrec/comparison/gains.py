"""What lines of models come to on test samples, and what they gain over SFT."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from mllmrec import ranking
from mllmrec.comparison.lines import Line, Member, bounds, over_seeds
from mllmrec.comparison.options import Options
from mllmrec.comparison.ranks import Board, Ranks
from mllmrec.comparison.values import admissible, measured, tested_of

BASE = "sft"
SURE = 0.05  # an adjusted p below it is said to be a difference
TESTS = ("low", "high", "p", "holm", "p_seeds", "holm_seeds")
_TIE = 1e-12  # what rounding left of nothing
Gain = dict[str, Any]


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
) -> list[Gain | None]:
    """What each line gains over SFT, sample by sample.

    ``diff`` is the mean over seeds. ``low``, ``high`` and ``p`` are of other test samples with
    these seeds: each sample's differences are averaged over seeds and then resampled (paired
    bootstrap). ``seeds`` and ``p_seeds`` are of other seeds on these samples (``p_over_seeds``).
    ``holm`` and ``holm_seeds`` are both p adjusted over the lines. Where seeds have ranked
    different samples there is what is told of seeds alone, and of one seed what is told of samples.
    """
    told: list[Gain | None] = []
    tested: dict[int, Any] = {}
    for at, line in enumerate(found):
        pairs = pairs_of(board, protocol, line)
        if not pairs or metric not in admissible([metric], pairs[0][0].samples.candidates):
            told.append(None)
            continue
        paired = [measured(metric, a.ranks) - measured(metric, b.ranks) for a, b in pairs]
        own = [float(one.mean()) for one in paired]
        mean, low, high = over_seeds(own)
        chance = {**dict.fromkeys(TESTS), "p_seeds": p_over_seeds(own)}
        told.append({"diff": mean, "seeds": [low, high], "n": len(pairs), **chance})
        if all(one.samples is pairs[0][0].samples for one, _ in pairs):
            tested[at] = np.mean(paired, axis=0)
    lines = dict(zip(tested, tests_of(list(tested.values()), options.seed), strict=True))
    for at, values in lines.items():
        told[at] = {**(told[at] or {}), **values}
    known = [one for one in told if one and one["p_seeds"] is not None]
    for one, p in zip(known, ranking.holm([one["p_seeds"] for one in known]), strict=True):
        one["holm_seeds"] = p
    return [one and {**one, "verdict": verdict(one)} for one in told]


def p_over_seeds(gains: Sequence[float]) -> float | None:
    """The two-sided p of a mean over n seeds by Student's t of n - 1 degrees; None of one seed.

    t = mean / (s / √n) (Student, 1908); where all seeds gained the same: 0, or 1 of no gain.
    """
    if len(gains) < 2:
        return None
    mean, error = float(np.mean(gains)), float(stats.sem(gains))
    if error <= _TIE:
        return 1.0 if abs(mean) <= _TIE else 0.0
    return float(2.0 * stats.t.sf(abs(mean) / error, len(gains) - 1))


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
    """What both kinds of chance allow to say, each by its p that is adjusted over the lines."""
    if gain["holm"] is None:
        return "not tested"
    by_seeds = gain["holm_seeds"]
    if gain["holm"] >= SURE or (by_seeds is not None and by_seeds >= SURE):
        return "not distinguishable"
    said = "above" if gain["diff"] > 0 else "below"
    return f"{said}, of one seed" if by_seeds is None else said
