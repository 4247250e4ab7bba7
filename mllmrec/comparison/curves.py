"""How runs went: what training logged by step, and the inflation of the reward."""

from collections.abc import Mapping, Sequence
from typing import Any

from mllmrec.comparison.run import Run
from mllmrec.training.inflation import NDCG, REWARD, TRAIN, inflation

TRAINED = ("pretrain", "sft", "sft_continued", "grpo")
HISTORY = "history.json"
NAMES = (
    *("reward", "loss", NDCG, "probe/hr@1", REWARD, "kl", "entropy"),
    *("frac_reward_zero_std", "completions/mean_length", "reward/with_rationale"),
    *("reward/without_rationale", "grad_norm", "learning_rate"),
)
HINT = "probe/hint/reward"
POINTS, FEWEST = 100, 12  # of a curve
BUDGET = 300_000  # points of all curves
Entry = Mapping[str, float]
Histories = dict[str, list[Entry]]  # by stage


def thinned(points: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, evenly spaced, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    last = len(points) - 1
    return [points[round(n * last / (most - 1))] for n in range(most)]


def read(runs: Sequence[Run]) -> list[Histories]:
    """What each trained stage of each run logged; what several runs stand on is read once."""
    met: dict[str, list[Entry]] = {}
    found = []
    for run in runs:
        own: Histories = {}
        for label in TRAINED:
            if step := run.steps.get(label):
                if step["folder"] not in met:
                    met[step["folder"]] = run.table(label, HISTORY) or []
                own[label] = met[step["folder"]]
        found.append(own)
    return found


def curves(logged: Sequence[Histories]) -> list[dict[str, Any]]:
    """Every number worth a chart by its step, thinned, so that a page can hold those of all."""
    found = []
    for place, histories in enumerate(logged):
        for label, history in histories.items():
            for name in NAMES:
                points = [(entry["step"], entry[name]) for entry in history if name in entry]
                if len(points) > 1:
                    found.append((place, f"{label}/{name}", points))
    most = min(POINTS, max(FEWEST, BUDGET // max(1, len(found))))
    return [
        {"run": place, "name": name, "x": [x for x, _ in some], "y": [y for _, y in some]}
        for place, name, points in found
        for some in [thinned(points, most)]
    ]


def inflations(logged: Sequence[Histories]) -> list[dict[str, Any]]:
    """Train reward, probe reward and that with hints by step, and what inflation they end with."""
    found = []
    for place, histories in enumerate(logged):
        history = histories.get("grpo", [])
        looks = [entry for entry in history if NDCG in entry and REWARD in entry]
        if len(looks) > 1 and any(TRAIN in look for look in looks):
            some = thinned(looks, POINTS)
            found.append(
                {
                    "run": place,
                    "x": [look["step"] for look in some],
                    "train": [look.get(TRAIN) for look in some],
                    "probe": [look[REWARD] for look in some],
                    "hint": [look.get(HINT) for look in some],
                    "ri": inflation(looks),
                }
            )
    return found
