"""Times of a training, as its log has them and as the manifest keeps them."""

from collections.abc import Mapping, Sequence

SECONDS = "cpu_seconds"  # of all processes' threads, in optimiser steps, from the first one on
COST = "cost/"  # and a part of the step: its share of the step's seconds
TIMES = (SECONDS, COST)
POINTS = 200  # of a course


def course(history: Sequence[Mapping[str, float]]) -> dict[str, list[float | None]]:
    """The times of a run's log by step, a column a name, at most ``POINTS`` rows.

    The last row is kept; of the others those that are evenly spaced. A row's ``cost/`` is the mean
    share since the row before it.
    """
    rows: dict[int, dict[str, float]] = {}
    for entry in history:
        if SECONDS in entry:
            rows.setdefault(int(entry["step"]), {}).update(entry)
    steps = sorted(rows)
    every = -(-len(steps) // POINTS) or 1
    groups = [steps[max(0, end - every) : end] for end in range(len(steps), 0, -every)][::-1]
    names = sorted({name for entry in rows.values() for name in entry if name.startswith(COST)})

    def mean(name: str, group: Sequence[int]) -> float | None:
        found = [rows[step][name] for step in group if name in rows[step]]
        return round(sum(found) / len(found), 4) if found else None

    return {
        "step": [group[-1] for group in groups],
        SECONDS: [round(rows[group[-1]][SECONDS], 2) for group in groups],
        **{name: [mean(name, group) for group in groups] for name in names},
    }
