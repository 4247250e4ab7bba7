"""What could leak from one split into another, counted."""

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl

from mllmrec.records import Split

Tables = Mapping[Split, pl.DataFrame]


def audit(
    samples: Tables, trained: pl.DataFrame, columns: Mapping[Split, Sequence[str]]
) -> dict[str, int]:
    """Counts that should be 0, then some that say what the data are like.

    ``trained`` has the training interactions (SEQUENCES); ``columns`` the candidates' columns.
    """
    pairs = trained.select("user_id", pl.col("items").alias("item_id")).explode("item_id")
    counts = dict.fromkeys(
        ("target_in_history", "target_not_among_candidates", "candidates_repeated"), 0
    )
    for split, table in samples.items():
        history = pl.col("history").list.contains(pl.col("target"))
        counts["target_in_history"] += table.filter(history).height
        for name in columns[split]:
            absent = ~pl.col(name).list.contains(pl.col("target"))
            repeat = pl.col(name).list.n_unique() != pl.col(name).list.len()
            counts["target_not_among_candidates"] += table.filter(absent).height
            counts["candidates_repeated"] += table.filter(repeat).height
    for split in ("validation", "test"):
        held = samples[split].select("user_id", pl.col("target").alias("item_id"))
        counts[f"{split}_targets_trained_by_same_user"] = held.join(
            pairs, on=["user_id", "item_id"], how="semi"
        ).height
        counts[f"{split}_targets_never_trained"] = held.join(pairs, on="item_id", how="anti").height
    counts["users_in_train_and_test"] = (
        samples["test"].join(samples["train"], on="user_id", how="semi")["user_id"].n_unique()
    )
    return counts


def fingerprint(samples: pl.DataFrame, column: str) -> str:
    """A hash of who is asked to choose among what, in which order: the first 16 digits."""
    lines = samples.select(pl.format("{} {}", "sample_id", pl.col(column).list.join("\x1f")))
    return hashlib.sha256("\n".join(lines.to_series()).encode()).hexdigest()[:16]
