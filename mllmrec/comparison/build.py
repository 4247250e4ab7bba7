"""A comparison as one JSON-able value, from which table, CSV and page are written."""

import math
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mllmrec.comparison.cases import cases, chosen
from mllmrec.comparison.costs import costs
from mllmrec.comparison.curves import curves, inflations
from mllmrec.comparison.curves import read as read_histories
from mllmrec.comparison.knobs import knobs
from mllmrec.comparison.notes import notes
from mllmrec.comparison.options import Options
from mllmrec.comparison.ranks import Board
from mllmrec.comparison.run import Run, in_shell, listed, place_of
from mllmrec.comparison.segments import segments
from mllmrec.comparison.study import study
from mllmrec.comparison.values import against, primary_of, values
from mllmrec.errors import Refusal

TIE = 1e-12  # what rounding left of nothing


def build(runs: Sequence[Run], options: Options, title: str) -> dict[str, Any]:
    """All that is told of these runs; every list "a number a run" is in their order.

    Raises:
        Refusal: no run has values, or the reference, the primary value or a case is not there.
    """
    board = Board.of(runs, options.every_policy)
    found = values(board, options)
    primary = primary_of(found, board, options)
    if primary is None:
        raise nothing_there(runs, options, found)
    reference = reference_of(runs, options)
    policy, protocol, _ = primary.split("/")
    key = (policy, protocol)
    apart, common = knobs(runs)
    logged = read_histories(runs)
    places = chosen(board, options, reference, key, found[primary]["mean"])
    made = {
        "title": title,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "reference": reference,
        "primary": primary,
        "runs": [described(run) for run in runs],
        "knobs": apart,
        "same": common,
        "values": found,
        "tests": against(board, options, reference),
        "costs": costs(runs),
        "curves": curves(logged),
        "inflation": inflations(logged),
        "study": study(board, options, primary),
        "segments": segments(board, options, reference, key),
        "cases": cases(board, options, key, places),
        "notes": notes(board, options, reference),
    }
    return {
        name: value if name in ("runs", "knobs", "same") else rounded(value)
        for name, value in made.items()
    }


def reference_of(runs: Sequence[Run], options: Options) -> int:
    """The run that all others are held against: that of this name, or the first."""
    if options.reference is None:
        return 0
    if (found := place_of(options.reference, runs)) is None:
        raise Refusal(
            f"compare.reference={options.reference}: no run of this name",
            allowed=listed(runs),
            do=f"type {in_shell('compare.reference', runs[0].name)} with one of these, or null for"
            " the first run",
        )
    return found


def nothing_there(runs: Sequence[Run], options: Options, found: Mapping[str, Any]) -> Refusal:
    """What to say where there is no value to put runs in order by."""
    if options.primary and found:
        return Refusal(
            f"compare.primary={options.primary}: no run has such a value",
            allowed=", ".join(sorted(found)),
            do="type compare.primary=POLICY/PROTOCOL/METRIC, or null",
        )
    policies = sorted({name for run in runs for name in run.policies if " order " not in name})
    return Refusal(
        f"compare.policies={options.policies}: no run has results of these",
        allowed=", ".join(policies) or "launches of stage=evaluate; none of these came so far",
        do="type compare.policies=[NAME] with one of these, or other runs",
    )


def described(run: Run) -> dict[str, Any]:
    """What a run is."""
    told = run.launch.told
    tracking, wandb = told["config"].get("tracking") or {}, told["wandb"] or {}
    return {
        "name": run.name,
        "folder": str(run.launch.folder),
        "id": wandb.get("id"),
        "url": wandb.get("url"),
        "state": run.launch.state,
        "began": told["began"],
        "group": tracking.get("group"),
        "tags": tracking.get("tags") or [],
        "command": shlex.join(["python", "launch.py", *told["overrides"]]),
    }


def rounded(value: Any) -> Any:
    """Floats to four significant digits, as there are a million of them in a thousand runs, and
    None for what is no number: a loss that has grown beyond all bounds.
    """
    kind = type(value)
    if kind is list:
        return [rounded(part) for part in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return 0.0 if -TIE < value < TIE else float(f"{value:.4g}")
    return {name: rounded(part) for name, part in value.items()} if kind is dict else value
