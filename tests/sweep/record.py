"""Ask W&B's own code for the points of every sweep, and for whom it would stop, and keep it.

The tests hold ours against these answers. W&B's code wants a NumPy older than ours, so it is asked
once, by hand, after a file of sweeps/ has changed, in an environment that holds it:

    pip install --no-deps sweeps==0.3.0 jsonref && python tests/sweep/record.py
"""

import json
import random
from pathlib import Path
from typing import Any

import yaml

import sweeps

HERE = Path(__file__).parent
SHIPPED = sorted((HERE.parents[1] / "sweeps").glob("*.yaml"))
MADE_UP: dict[str, dict[str, Any]] = {
    "every kind": {
        "b": {"values": [1, 2]},
        "a": {"values": ["x", True, 0.5]},
        "c": {"value": 3},
        "whole": {"min": 1, "max": 3},
        "q": {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.3},
    },
    "seeds": {"z": {"values": [1, 2]}, "seed": {"values": [3, 4]}},
}
RULES: list[dict[str, Any]] = [
    {"min_iter": 1},
    {"min_iter": 2, "eta": 2},
    {"max_iter": 12, "s": 2},
    {"max_iter": 9, "s": 3, "eta": 2, "strict": False},
]


def points(config: dict[str, Any]) -> list[dict[str, Any]]:
    found = sweeps.next_runs(config, [], n=1000)
    return [{name: p["value"] for name, p in run.config.items()} for run in found if run]


def stopped(rule: dict[str, Any], goal: str, seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    looks = [[draw.random() for _ in range(draw.randint(0, 12))] for _ in range(8)]
    states = [draw.choice(["running", "finished"]) for _ in looks]
    config = {
        "method": "random",
        "metric": {"name": "m", "goal": goal},
        "early_terminate": {"type": "hyperband", **rule},
        "parameters": {"a": {"values": [1]}},
    }
    runs = [
        sweeps.SweepRun(
            name=str(n), state=getattr(sweeps.RunState, state), history=[{"m": v} for v in one]
        )
        for n, (one, state) in enumerate(zip(looks, states, strict=True))
    ]
    who = sorted(int(run.name) for run in sweeps.stop_runs(config, runs))
    return {"rule": rule, "goal": goal, "looks": looks, "states": states, "stopped": who}


def main() -> None:
    shipped = {path.stem: points(yaml.safe_load(path.read_text())) for path in SHIPPED}
    base = {"method": "grid", "metric": {"name": "m", "goal": "maximize"}}
    made_up = [
        {"parameters": one, "points": points({**base, "parameters": one})}
        for one in MADE_UP.values()
    ]
    cases = [
        (rule, goal, n) for rule in RULES for goal in ("maximize", "minimize") for n in range(4)
    ]
    told = {
        "shipped": shipped,
        "made_up": made_up,
        "stopped": [stopped(rule, goal, n) for rule, goal, n in cases],
    }
    (HERE / "wandb_answers.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
