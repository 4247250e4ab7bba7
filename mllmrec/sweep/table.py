"""What a sweep has found: a row a point, best first, with intervals."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from mllmrec.artifacts import write_json
from mllmrec.progress import lasting
from mllmrec.report.tables import console
from mllmrec.sweep.grammar import SEEDS
from mllmrec.sweep.points import Run, command
from mllmrec.sweep.pruning import watched
from mllmrec.sweep.roster import Roster
from mllmrec.sweep.space import Values, words_of

TABLE = "table"  # .csv and .json
RESULTS = "results.json"
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Row:
    """A point: its mean over seeds, the 95 % interval, and where its runs are.

    The interval is Student's over the seeds; of one seed that of the test samples, which the
    evaluation has told; None where there is neither.
    """

    values: Values
    state: str
    mean: float | None
    low: float | None
    high: float | None
    seeds: int
    seconds: float
    columns: dict[str, float]
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        return " ".join(words_of(self.values)) or "the one point"


def rows(roster: Roster) -> list[Row]:
    """All points, best first; those without a result after them, in the order of the file."""
    asked = roster.frozen.grammar.metric
    sign = -1 if asked.goal == "maximize" else 1
    made = [row_of(roster, group) for group in roster.points.values()]
    return sorted(made, key=lambda row: (row.mean is None, sign * (row.mean or 0.0)))


def row_of(roster: Roster, group: Sequence[Run]) -> Row:
    """One point. It has a result where every seed has one."""
    name = roster.frozen.grammar.metric.name
    states = [roster.states[run.number] for run in group]
    found = [roster.values[run.number] for run in group if run.number in roster.values]
    told = [launch for run in group if (launch := run.launch)]
    whole = len(found) == len(group)
    low, high = interval(found, group[0], name) if whole else (None, None)
    shared = set.intersection(*(set(one.columns) for one in told)) if whole and told else set()
    return Row(
        values=group[0].point,
        state="finished" if whole else next((s for s in states if s != "finished"), "no result"),
        mean=sum(found) / len(found) if whole else None,
        low=low,
        high=high,
        seeds=len(found),
        seconds=sum(one.told["seconds"] or 0.0 for one in told),
        columns={key: sum(one.columns[key] for one in told) / len(told) for key in sorted(shared)},
        runs=tuple(group),
    )


def interval(found: Sequence[float], run: Run, name: str) -> tuple[float | None, float | None]:
    """mean ± t · s/√n over seeds; of one seed what its evaluation says of the metric."""
    if len(found) == 1:
        return of_evaluation(run, name)
    from scipy import stats

    mean, error = sum(found) / len(found), float(stats.sem(found))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(found) - 1)) * error
    return mean - half, mean + half


def of_evaluation(run: Run, name: str) -> tuple[float | None, float | None]:
    """The interval over test samples of ``eval/POLICY/PROTOCOL/METRIC``."""
    if not name.startswith("eval/") or (launch := run.launch) is None:
        return None, None
    folders = [Path(step["folder"]) for step in launch.told["steps"] if step["label"] == "evaluate"]
    _, policy, protocol, measure = name.split("/")
    try:
        told = json.loads((folders[0] / RESULTS).read_text(encoding="utf-8"))
        found = told["protocols"][protocol]["policies"][policy][measure]
        return found["low"], found["high"]
    except (OSError, ValueError, LookupError):  # its artifact was cleaned away since
        return None, None


def write(folder: Path, roster: Roster, found: Sequence[Row], again: str | None) -> None:
    """``table.csv`` and ``table.json`` in the sweep's folder."""
    metric = roster.frozen.grammar.metric.name
    names = list(dict.fromkeys(name for row in found for name in row.values))
    more = sorted({name for row in found for name in row.columns} - {metric})
    with (folder / f"{TABLE}.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow([*names, metric, "low", "high", "seeds", "state", "seconds", "runs", *more])
        for row in found:
            runs = " ".join(str(run.number) for run in row.runs)
            own = [row.mean, row.low, row.high, row.seeds, row.state, row.seconds, runs]
            columns = [row.columns.get(name) for name in more]
            out.writerow([*(row.values.get(name) for name in names), *own, *columns])
    told = {
        "name": roster.frozen.name,
        "question": roster.frozen.question,
        "metric": roster.frozen.grammar.metric.model_dump(),
        "best": again,
        "points": [plain(row) for row in found],
    }
    write_json(folder / f"{TABLE}.json", told)


def plain(row: Row) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in ("values", "state", "mean", "low", "high")}
    runs = [
        {"number": run.number, "values": run.values, "folder": str(run.folder)} for run in row.runs
    ]
    return {**own, "seeds": row.seeds, "seconds": row.seconds, "columns": row.columns, "runs": runs}


def again(found: Sequence[Row], threads: int) -> str | None:
    """The command that reruns the best point, with every seed; None where there is none."""
    if not found or found[0].mean is None:
        return None
    first, *others = found[0].runs
    words = list(first.words)
    if others and (knob := next((name for name in SEEDS if name in first.values), None)):
        seeds = ",".join(str(run.values[knob]) for run in found[0].runs)
        words = ["-m", *(f"{knob}={seeds}" if w.startswith(f"{knob}=") else w for w in words)]
    return command([*words, f"threads={threads}"])


def show(roster: Roster, found: Sequence[Row], best: str | None) -> None:
    """The table in the terminal, and the command under it."""
    metric = roster.frozen.grammar.metric.name
    probe = watched(metric)
    beside = probe if probe != metric and any(probe in row.columns for row in found) else None
    names = list(dict.fromkeys(name for row in found for name in row.values))
    table = Table(title=escape(roster.frozen.question or roster.frozen.name), box=box.SIMPLE_HEAD)
    table.title_justify = "left"
    for name in [*names, metric, *([beside] if beside else []), "seeds", "time"]:
        table.add_column(name, justify="left" if name in names else "right", overflow="fold")
    for row in found:
        cells = [str(row.values.get(name, "")) for name in names]
        cells.append(cell(row))
        if beside:
            value = row.columns.get(beside)
            cells.append("" if value is None else f"{value:.4f}")
        table.add_row(*map(escape, cells), str(row.seeds), lasting(row.seconds))
    out = console()
    out.print(table)
    out.print(escape(told_of(found, metric)), soft_wrap=True)
    if best:
        out.print(f"best: {escape(found[0].name)}; again by:\n  {escape(best)}", soft_wrap=True)


def cell(row: Row) -> str:
    """``0.6120 ±0.0210``, or how the point stands."""
    if row.mean is None:
        return row.state
    if row.low is None or row.high is None:
        return f"{row.mean:.4f}"
    return f"{row.mean:.4f} ±{(row.high - row.low) / 2:.4f}"


def told_of(found: Sequence[Row], metric: str) -> str:
    """What the intervals are, and what the best of many is worth."""
    seeds = max((row.seeds for row in found), default=0)
    if seeds > 1:
        text = f"± half of the 95 % interval over {seeds} seeds (Student's t)."
    elif any(row.low is not None for row in found):
        text = "± half of the 95 % interval over test samples; another seed moves it further."
    else:
        text = "One seed, and no interval of this metric."
    if metric.startswith("eval/") and sum(row.mean is not None for row in found) > 1:
        text += " The best of several on test samples flatters: choose by a probe's metric."
    return text
