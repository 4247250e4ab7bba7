"""Confidence of a rationale, from its components, and which rationales are kept by it.

c = (1 − leak) · (w_m · c_m + w_p · c_p), weights scaled to sum to 1. The published description
names confidence, modality consistency and prediction consistency, and gives no formula; these
are ours.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl


def prediction(scores: Sequence[float], target: int) -> float:
    """c_p = σ(s(y*) − log mean exp s(others)), from mean token log-probabilities with the hint.

    ½ where the hint leaves the target as likely as the others are on the average.
    """
    others = [score for index, score in enumerate(scores) if index != target]
    top = max(others)
    mean = top + math.log(sum(math.exp(score - top) for score in others) / len(others))
    return 1 / (1 + math.exp(mean - scores[target]))


def gain(plain: Sequence[float], hinted: Sequence[float], target: int) -> float:
    """c_p = max(0, rank(y* | x) − rank(y* | x, z)) / N: by how much the hint lifts the target."""
    before, after = rank(plain, target), rank(hinted, target)
    return max(0.0, (before - after) / len(plain))


def rank(scores: Sequence[float], target: int) -> float:
    """The target's place from 1; among equals the middle one."""
    higher = sum(score > scores[target] for score in scores)
    return higher + (sum(score == scores[target] for score in scores) + 1) / 2


def confidence(table: pl.DataFrame, weights: dict[str, float], *, gate: bool) -> pl.DataFrame:
    """The table (``leak``, ``modality``, ``prediction``) with ``confidence`` in [0, 1]."""
    total = sum(weights.values())
    mixed = pl.sum_horizontal(pl.col(name) * weight for name, weight in weights.items()) / total
    passed = pl.col("leak").is_null() if gate else pl.lit(True)
    return table.with_columns(confidence=pl.when(passed).then(mixed).otherwise(0.0))


def kept(
    table: pl.DataFrame, *, keep: str, threshold: float, share: float, gate: bool
) -> pl.DataFrame:
    """The table with ``kept`` and ``why`` not: the gate, or too little confidence.

    ``keep=top_share`` keeps that share of all rationales, the most confident of those that pass
    the gate; equals in the order of their ids.
    """
    passed = pl.col("leak").is_null() if gate else pl.lit(True)
    if keep == "threshold":
        table = table.with_columns(kept=passed & (pl.col("confidence") >= threshold))
    else:
        count = round(share * len(table))
        best = table.filter(passed).sort("confidence", "sample_id", descending=[True, False])
        ids = best["sample_id"].head(count)
        table = table.with_columns(kept=pl.col("sample_id").is_in(ids.implode()))
    stopped = pl.format("names the target: {}", "leak") if gate else pl.lit(None)
    return table.with_columns(
        why=pl.when("kept")
        .then(None)
        .when(~passed)
        .then(stopped)
        .otherwise(pl.format("confidence {}", pl.col("confidence").round(4)))
    )


def report(table: pl.DataFrame, bins: int = 20, told: int = 10) -> dict[str, Any]:
    """Counts, a histogram of confidence, and the best and the worst rationales with their parts."""
    edges = np.linspace(0, 1, bins + 1)
    heights, _ = np.histogram(table["confidence"].to_numpy(), edges)
    order = table.sort("confidence", "sample_id", descending=[True, False])
    order = order.select(*("sample_id", "confidence", "modality", "prediction"), "leak", "text")
    return {
        "counts": {
            "rationales": len(table),
            "leaks": int(table["leak"].is_not_null().sum()),
            "kept": int(table["kept"].sum()),
        },
        "histogram": [
            {"from": round(float(low), 4), "rationales": int(height)}
            for low, height in zip(edges, heights, strict=False)
        ],
        "best": order.head(told).to_dicts(),
        "worst": order.tail(told).reverse().to_dicts(),
    }
