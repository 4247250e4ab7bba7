"""What runs cost: seconds, tokens and memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from mllmrec.comparison.run import Run

TOKENS = "num_tokens"  # TRL's name for those that a trainer has seen
SMALL = 0.01  # of all seconds: a stage below it has no column of its own


def costs(runs: Sequence[Run]) -> dict[str, Any]:
    """A number a run; null where nobody counted.

    ``seconds`` are those of the launch itself, ``built_seconds`` those of building everything that
    it stands on, whichever launch did it, and ``stages`` the same by stage; ``memory`` and
    ``gpu_memory`` are the most bytes that a process of the launch held. ``parts`` are the artifacts
    by number, so that what several runs stand on can be counted once.
    """
    built = [seconds_of(run) for run in runs]
    tokens = [tokens_of(run) for run in runs]
    total = sum(sum(one.values()) for one in built)
    labels = list(dict.fromkeys(label for one in built for label in one))
    return {
        "seconds": [run.launch.told["seconds"] for run in runs],
        "built_seconds": [round(sum(one.values()), 1) if one else None for one in built],
        "tokens": [sum(one.values()) if one else None for one in tokens],
        "memory": [run.launch.told["peak_memory"] for run in runs],
        "gpu_memory": [run.launch.told.get("peak_gpu_memory") for run in runs],
        "stages": [
            {"name": label, "seconds": [one.get(label) for one in built]}
            for label in labels
            if sum(one.get(label, 0.0) for one in built) >= SMALL * total
        ],
        "parts": {"built_seconds": parts(runs, built), "tokens": parts(runs, tokens)},
    }


def parts(runs: Sequence[Run], counted: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """``of``: each artifact's cost; ``runs``: the artifacts of each run, as places in ``of``."""
    places: dict[str, int] = {}
    costs: list[float] = []
    of_runs = []
    for run, own in zip(runs, counted, strict=True):
        row = []
        for label, cost in own.items():
            folder = run.steps[label]["folder"]
            if folder not in places:
                places[folder] = len(costs)
                costs.append(cost)
            row.append(places[folder])
        of_runs.append(row)
    return {"of": costs, "runs": of_runs}


def seconds_of(run: Run) -> dict[str, float]:
    """The seconds that each step took to build, by its manifest or else by the launch."""
    found: dict[str, float] = {}
    for label, step in run.steps.items():
        manifest = run.manifest(label)
        seconds = manifest["seconds"] if manifest else step["seconds"]
        if seconds is not None:
            found[label] = float(seconds)
    return found


def tokens_of(run: Run) -> dict[str, float]:
    """The tokens that each of its trained stages counted."""
    columns = run.launch.columns
    found = {name.rpartition("/")[0]: name for name in columns if name.rpartition("/")[2] == TOKENS}
    return {label: columns[name] for label, name in found.items() if label in run.steps}
