"""Which knobs set runs apart, and which are the same everywhere."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mllmrec.comparison.run import Run
from mllmrec.launches import flat
from mllmrec.schema import GROUPS, NAMED, TARGET

# What says nothing of a run's result; threads do, if somebody chose them.
ASIDE = (
    *("tracking.", "artifacts", "force", "plan_only", "yes", "goal"),
    *("evaluate.policies", "evaluate.compare"),
)
UNLESS_TYPED = ("threads",)
# Worth telling also where all runs have the same.
IMPORTANT = ("dataset", "backbone", "seed", "cot_prob", "grpo.beta", "reward", "algorithm")
MISSING = None


def told(run: Run, apart: Mapping[str, bool]) -> dict[str, Any]:
    """A run's knobs by dotted name; a group goes by the name of what was chosen in it.

    ``apart`` are the nodes to look into.
    """
    config = {name: node for name, node in run.launch.told["config"].items() if apart[name]}
    found = {
        name.removesuffix(f".{TARGET}"): value.rsplit(".", 2)[-2] if is_target(name) else value
        for name, value in flat(config)
        if not (is_target(name) and (name.split(".")[0] in NAMED or "." not in name))
    }
    for name in NAMED:
        if name in config:
            found[name] = "+".join(sorted(config[name])) or "none"
    stages = {name for name, node in config.items() if isinstance(node, Mapping)} - {*GROUPS}
    return {name: plain(value) for name, value in found.items() if name not in stages}


def every_knob(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """All knobs of each run; a node that all have alike is looked into once."""
    configs = [run.launch.told["config"] for run in runs]
    names = list(dict.fromkeys(name for config in configs for name in config))
    absent = object()
    apart = {
        name: any(config.get(name, absent) != configs[0].get(name, absent) for config in configs)
        for name in names
    }
    common = told(runs[0], {name: not is_apart for name, is_apart in apart.items()})
    return [{**common, **told(run, apart), **without_a_node(run)} for run in runs]


def without_a_node(run: Run) -> dict[str, str]:
    """What was chosen and is in no config: the experiment, and the name of the algorithm."""
    words = (word.lstrip("+~").partition("=") for word in run.launch.told["overrides"])
    typed = {name: value for name, _, value in words if name == "experiment"}
    return {**typed, **run.launch.told.get("choices", {})}


def is_target(name: str) -> bool:
    return name.rpartition(".")[2] == TARGET


def plain(value: Any) -> Any:
    """A value that fits into a cell."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # no JSON has it
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def typed(run: Run) -> list[str]:
    """The names that were typed, but for the goal."""
    names = (word.lstrip("+~").partition("=")[0] for word in run.launch.told["overrides"])
    return [name for name in names if name != "stage"]


def knobs(runs: Sequence[Run]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The knobs that differ, those that were typed first, and of the others what is worth telling.

    A knob that nobody typed and that follows a typed one in every run is named there, ``also``.
    """
    every = every_knob(runs)
    by_hand = list(dict.fromkeys(name for run in runs for name in typed(run)))
    by_hand = [name for name in by_hand if any(name in one for one in every)]
    names = list(dict.fromkeys([*by_hand, *(name for one in every for name in one)]))
    names = [name for name in names if not name.startswith(ASIDE)]
    names = [name for name in names if name in by_hand or name not in UNLESS_TYPED]
    columns = {name: [one.get(name, MISSING) for one in every] for name in names}
    apart = {name: row for name, row in columns.items() if differ(row)}
    found: dict[str, dict[str, Any]] = {}
    for name, row in apart.items():
        leader = next((k for k in found if k in by_hand and same(found[k]["values"], row)), None)
        if leader and name not in by_hand:
            found[leader]["also"].append(name)
        else:
            found[name] = {"name": name, "values": row, "also": []}
    common = {
        name: row[0]
        for name, row in columns.items()
        if name not in apart and (name in by_hand or name in IMPORTANT)
    }
    return list(found.values()), common


def differ(row: Sequence[Any]) -> bool:
    return not same(row, [row[0]] * len(row))


def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Equal in value and kind: True is not 1 here, and 1 is 1.0."""
    return all(
        a == b and isinstance(a, bool) == isinstance(b, bool)
        for a, b in zip(one, other, strict=True)
    )
