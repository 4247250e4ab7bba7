"""What could leak from one split into another, counted."""

import hashlib
import logging
from collections.abc import Mapping, Sequence

import polars as pl

from mllmrec.errors import Refusal
from mllmrec.records import Split

log = logging.getLogger(__name__)
Tables = Mapping[Split, pl.DataFrame]
BROKEN = ("target_in_history", "target_not_among_candidates", "candidates_repeated")
TRAINED = "_targets_trained_by_same_user"


def audit(
    samples: Tables, trained: pl.DataFrame, columns: Mapping[Split, Sequence[str]]
) -> dict[str, int]:
    """Counts that should be 0, then some that say what the data are like.

    ``trained`` has the training interactions (SEQUENCES); ``columns`` the candidates' columns.
    """
    pairs = trained.select("user_id", pl.col("items").alias("item_id")).explode("item_id")
    counts = dict.fromkeys(BROKEN, 0)
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
        counts[split + TRAINED] = held.join(pairs, on=["user_id", "item_id"], how="semi").height
        counts[f"{split}_targets_never_trained"] = held.join(pairs, on="item_id", how="anti").height
    counts["users_in_train_and_test"] = (
        samples["test"].join(samples["train"], on="user_id", how="semi")["user_id"].n_unique()
    )
    return counts


def judge(counts: Mapping[str, int]) -> None:
    """Refuse samples that cannot be right, and warn of targets that were trained on.

    Raises:
        Refusal: a target is in its own history or not among its candidates, or one stands twice.
    """
    broken = [f"{name} {counts[name]}" for name in BROKEN if counts[name]]
    if broken:
        raise Refusal(
            f"prepare: the samples are broken, {', '.join(broken)}",
            allowed="a target outside its history, once among candidates that differ",
            do="look for items that stand twice in the raw files; whole data that give this are"
            " a bug of mllmrec's to report, with this line",
        )
    for name, count in counts.items():
        if name.endswith(TRAINED) and count:
            log.warning("LEAK: %s %d: these users were trained on their own targets", name, count)


def fingerprint(samples: pl.DataFrame, column: str) -> str:
    """A hash of who is asked to choose among what, in which order: the first 16 digits."""
    lines = samples.select(pl.format("{} {}", "sample_id", pl.col(column).list.join("\x1f")))
    return hashlib.sha256("\n".join(lines.to_series()).encode()).hexdigest()[:16]
