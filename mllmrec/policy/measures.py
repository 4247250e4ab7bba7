"""What rankings come to: means with their intervals, and all of it as flat metrics."""

from collections.abc import Mapping
from typing import Any

from mllmrec import ranking


def measure(ranks: Any, ks: tuple[int, ...], seed: int) -> dict[str, dict[str, float]]:
    """Each metric's mean and the bounds of its 95 % interval."""
    found = ranking.intervals(ranking.metrics(ranks, ks), seed=seed)
    return {name: {"mean": i.mean, "low": i.low, "high": i.high} for name, i in found.items()}


def flat(results: Mapping[str, Any]) -> dict[str, float]:
    """Means and rates by policy/protocol/name, for the manifest and tracking."""
    found: dict[str, float] = {}
    for protocol, table in results["protocols"].items():
        for policy, metrics in table["policies"].items():
            told = {metric: value["mean"] for metric, value in metrics.items()}
            told |= table["lists"].get(policy, {})
            orders = table["permutations"].get(policy, {})
            told |= {f"orders/{name}": value for name, value in orders.items()}
            found |= {f"{policy}/{protocol}/{name}": value for name, value in told.items()}
    return found
