"""What to beware of in a comparison."""

from collections.abc import Sequence
from typing import Any

from mllmrec.comparison.options import Options
from mllmrec.comparison.ranks import Board
from mllmrec.comparison.run import ASKED

NAMED = 5  # runs that a note names


def notes(board: Board, options: Options, reference: int) -> list[str]:
    """Runs that are not held against the reference, or not as they seem, in sentences."""
    runs = board.runs
    names = [run.name for run in runs]
    told = []
    states = [run.launch.state for run in runs]
    for state in dict.fromkeys(state for state in states if state != "finished"):
        found = [name for name, own in zip(names, states, strict=True) if own == state]
        told.append(f"{state}: {listed(found)}")
    told += [
        line for protocol in board.protocols for line in other_samples(board, protocol, reference)
    ]
    told += differently_asked(board, reference)
    told += gone(board)
    for protocol in board.protocols:
        if left := [k for k in options.k if k >= board.candidates(protocol)]:
            told.append(
                f"{protocol}: K = {left} left out, K must be below the number of candidates"
            )
    for policy in options.every_policy:
        lacking = [run.name for run in runs if run.evaluated and policy not in run.policies]
        if lacking and any(policy in run.policies for run in runs):
            told.append(f"{policy}: not in {listed(lacking)}")
    return told


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def other_samples(board: Board, protocol: str, reference: int) -> list[str]:
    """Which runs did not rank the reference's samples, so that no test is paired."""
    rows = [row for (_, one), row in board.by.items() if one == protocol]
    paired = [(base, row) for row in rows if (base := row[reference])]
    if not paired:
        return [f"{protocol}: {board.runs[reference].name} has no rankings, so nothing is tested"]
    found = [
        run.name
        for place, run in enumerate(board.runs)
        if any((one := row[place]) and one.samples is not base.samples for base, row in paired)
    ]
    if not found:
        return []
    return [
        f"{protocol}: {listed(found)} did not rank the samples of {board.runs[reference].name} with"
        " the same candidates (another seed, dataset.* or prepare.*), so their differences are"
        " not tested"
    ]


def differently_asked(board: Board, reference: int) -> list[str]:
    """Which runs' models were not asked as the reference's were."""
    base = board.runs[reference]
    by: dict[tuple[str, Any], list[str]] = {}
    for run in board.runs:
        if run.evaluation and base.evaluation:
            for knob in ASKED:
                own, other = run.asked(knob), base.asked(knob)
                if own != other and None not in (own, other):  # both were asked
                    by.setdefault((knob, str(own)), []).append(run.name)
    return [
        f"{listed(names)} and {base.name} differ in {knob}: {own} and {base.asked(knob)}, so their"
        " models were not asked the same"
        for (knob, own), names in by.items()
    ]


def gone(board: Board) -> list[str]:
    """Which runs' evaluation is told by what is left of it."""
    found = [run.name for run in board.runs if run.evaluated and run.evaluation is None]
    return [f"no intervals and tests, as the evaluation is gone: {listed(found)}"] if found else []
