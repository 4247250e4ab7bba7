"""Means of every metric with their intervals, and tests of each run against the reference."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mllmrec import ranking
from mllmrec.comparison.options import Options
from mllmrec.comparison.ranks import Board, Key, Ranks, Samples
from mllmrec.comparison.run import Run
from mllmrec.ranking import Difference, Floats, Interval

CELLS = 8_000_000  # numbers held at once while resampling: 64 MB
Numbers = list[float | None]
Columns = dict[str, Numbers]
Tested = tuple[Difference, float]
FLOOR = 2 / (ranking.DRAWS + 1)  # the least p of the bootstrap
RESULTS = "results.json"


def measured(metric: str, ranks: Any) -> Floats:
    """A metric of each rank by its name: ``hr@5``, ``ndcg@5``, ``mrr``."""
    name, _, k = metric.partition("@")
    if name == "mrr":
        return ranking.mrr(ranks)
    return (ranking.hit_rate if name == "hr" else ranking.ndcg)(ranks, int(k))


def admissible(metrics: Sequence[str], candidates: int) -> list[str]:
    """The metrics whose K is below the number of candidates."""
    return [name for name in metrics if int(name.partition("@")[2] or 0) < candidates]


def metrics_of(options: Options) -> list[str]:
    """All that is told: HR@K, NDCG@K but for K = 1, where it is HR@1, and MRR."""
    named = [f"hr@{k}" for k in options.k] + [f"ndcg@{k}" for k in options.k if k > 1] + ["mrr"]
    return list(dict.fromkeys([*named, *options.tested]))


def parts(columns: Sequence[Any], rows: int) -> Iterator[Sequence[Any]]:
    """Columns of so many rows, as many at a time as may be held at once."""
    most = max(1, CELLS // max(rows, ranking.DRAWS))
    yield from (columns[start : start + most] for start in range(0, len(columns), most))


def intervals(board: Board, samples: Samples, metrics: Sequence[str], seed: int) -> Any:
    """Mean and bounds of each of these metrics, by (number of the ranking, metric)."""
    wanted = [(one, metric) for one in board.distinct(samples) for metric in metrics]
    found: dict[tuple[int, str], Interval] = {}
    for some in parts(wanted, len(samples.ids)):
        arrays = {(one.number, metric): measured(metric, one.ranks) for one, metric in some}
        found |= ranking.intervals(arrays, seed=seed)  # type: ignore[arg-type]
    return found


def values(board: Board, options: Options) -> dict[str, Columns]:
    """By policy/protocol/metric: mean, low, high and n, a number a run.

    Where the rankings are gone what the evaluation has kept is told, and where that is gone too
    the mean that the launch itself noted.
    """
    found: dict[str, Columns] = {}
    for protocol in dict.fromkeys(p for run in board.runs for p in run.protocols):
        groups = [group for group in board.groups if group.protocol == protocol]
        told = {
            id(group): intervals(
                board, group, admissible(metrics_of(options), group.candidates), options.seed
            )
            for group in groups
        }
        for policy in options.every_policy:
            row = board.by.get((policy, protocol), [None] * len(board.runs))
            for metric in metrics_of(options):
                cells = [
                    fresh(ranks, told[id(ranks.samples)].get((ranks.number, metric)))
                    if ranks
                    else kept(run, policy, protocol, metric)
                    for run, ranks in zip(board.runs, row, strict=True)
                ]
                if any(cell["mean"] is not None for cell in cells):
                    key = f"{policy}/{protocol}/{metric}"
                    found[key] = {name: [cell[name] for cell in cells] for name in NAMES}
    return found


NAMES = ("mean", "low", "high", "n")
Cell = Mapping[str, float | None]
NOTHING: Cell = dict.fromkeys(NAMES)


def fresh(ranks: Ranks, interval: Interval | None) -> Cell:
    if interval is None:  # K is not below the number of candidates
        return NOTHING
    n = len(ranks.ranks)
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": n}


def kept(run: Run, policy: str, protocol: str, metric: str) -> Cell:
    """What is left of a value where the rankings are gone."""
    results = run.table("evaluate", RESULTS) if policy in run.policies else None
    table = (results or {"protocols": {}})["protocols"].get(protocol)
    if table and metric in table["policies"].get(policy, {}):
        return {**NOTHING, **table["policies"][policy][metric], "n": table["samples"]}
    return {**NOTHING, "mean": run.launch.columns.get(f"eval/{policy}/{protocol}/{metric}")}


def against(board: Board, options: Options, reference: int) -> dict[str, Columns]:
    """By policy/protocol/metric: each run less the reference, where both ranked the same samples.

    Paired bootstrap; ``holm`` are the p-values adjusted over the runs, each metric by itself.
    A ranking that several runs share is tested once and counts once; one that is the reference's
    own differs by nothing, and counts for none. A p is the bootstrap's, or that of ``by_law`` where
    that is larger. The bootstrap knows none below 2 / (draws + 1), which among many runs nothing
    could pass: where it is at that, the adjustment goes by the law alone, and is never below the
    bootstrap's own p.
    """
    found: dict[str, Columns] = {}
    for (policy, protocol), row in board.by.items():
        base = row[reference]
        if base is None:
            continue
        theirs = {
            one.number: one
            for one in row
            if one and one is not base and one.samples is base.samples
        }
        for metric in admissible(options.tested, base.samples.candidates):
            lines = compared(list(theirs.values()), base, metric, options.seed)
            family = dict(zip(theirs, lines, strict=True))
            others = [one if place != reference else None for place, one in enumerate(row)]
            if any(one and one.samples is base.samples for one in others):
                found[f"{policy}/{protocol}/{metric}"] = laid_out(others, family, base.number)
    return found


def compared(ours: Sequence[Ranks], base: Ranks, metric: str, seed: int) -> list[Tested]:
    """Each ranking less the base, and the p-value that is to be adjusted."""
    theirs, lines = measured(metric, base.ranks)[:, None], list[Tested]()
    for some in parts(ours, len(theirs)):
        paired = np.column_stack([measured(metric, one.ranks) for one in some]) - theirs
        lines += tested_of(paired, seed)
    return lines


def tested_of(paired: Floats, seed: int) -> list[Tested]:
    """Of each column of paired differences the test, and the p-value that is to be adjusted."""
    lines = list[Tested]()
    for line, column in zip(ranking.differences(paired, seed), paired.T, strict=True):
        law = by_law(column)
        told = replace(line, p=max(line.p, law))
        lines.append((told, law if line.p <= FLOOR else told.p))
    return lines


def by_law(paired: Floats) -> float:
    """The two-sided p of a mean of paired differences: exact where few of them are not 0, else by
    the normal law.
    """
    if (exact := ranking.sign_flip(paired)) is not None:
        return exact
    error = float(paired.std()) / math.sqrt(len(paired))
    return math.erfc(abs(float(paired.mean())) / error / math.sqrt(2)) if error else 0.0


def laid_out(row: Sequence[Ranks | None], family: Mapping[int, Tested], base: int) -> Columns:
    """The tests of a family of rankings as columns, a number a run."""
    adjusted = ranking.holm([fine for _, fine in family.values()])
    lines = {
        number: (line, max(line.p, own))
        for (number, (line, _)), own in zip(family.items(), adjusted, strict=True)
    }
    lines[base] = (Difference(diff=0.0, low=0.0, high=0.0, p=1.0), 1.0)
    own = [lines.get(one.number) if one else None for one in row]
    columns: Columns = {
        name: [None if line is None else float(getattr(line[0], name)) for line in own]
        for name in ("diff", "low", "high", "p")
    }
    return columns | {"holm": [None if line is None else line[1] for line in own]}


def primary_of(found: Mapping[str, Columns], board: Board, options: Options) -> str | None:
    """The key that runs are put in order by, if it was not named: the last policy that is there,
    the first protocol, the last metric.
    """
    if options.primary:
        return options.primary if options.primary in found else None
    keys = [key.split("/") for key in found]
    last: Key | None = next(
        ((a, b) for policy in reversed(options.every_policy) for a, b, _ in keys if a == policy),
        None,
    )
    if last is None:
        return None
    there = [c for a, b, c in keys if (a, b) == last]
    wanted = [metric for metric in options.tested if metric in there] or there
    return "/".join((*last, wanted[-1]))
