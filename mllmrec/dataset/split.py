"""Where each sample's target stands: leave-one-out in time, or the split that data came with.

A *plan* has one line a row of items: ``user_id``, ``items`` (oldest first), ``offset`` (items in
the user's earlier rows), ``trained`` (how many of the first items are training interactions)
and the places ``train``, ``validation`` and ``test`` of the last target of each kind, or null.
"""

from typing import Literal

import polars as pl

from mllmrec.records import Split

LENGTH = pl.col("items").list.len().cast(pl.Int64)


def leave_one_out(sequences: pl.DataFrame) -> pl.DataFrame:
    """The plan where a user's last item is for test, the one before for validation."""
    return sequences.with_columns(
        offset=pl.lit(0, pl.Int64),
        trained=(LENGTH - 2).clip(lower_bound=0),
        train=LENGTH - 3,
        validation=LENGTH - 2,
        test=LENGTH - 1,
    )


def as_published(rows: pl.DataFrame) -> pl.DataFrame:
    """The plan of data that comes with its own split: the last item of each row is its target."""
    here = {part: pl.col("part") == part for part in ("train", "validation", "test")}
    return rows.with_columns(
        offset=LENGTH.cum_sum().over("user_id") - LENGTH,
        trained=pl.when(here["train"])
        .then(LENGTH)
        .when(here["validation"])
        .then(LENGTH - 1)
        .otherwise(0),
        **{part: pl.when(is_part).then(LENGTH - 1) for part, is_part in here.items()},
    ).drop("part")


def samples(
    plan: pl.DataFrame,
    split: Split,
    *,
    windows: Literal["last", "sliding"],
    history_length: int,
    min_history: int,
) -> pl.DataFrame:
    """The samples of one split: SAMPLES, and ``earlier``, all items before the target.

    A target needs ``min_history`` items before it. ``sliding`` makes every such training
    interaction a target, ``last`` only the last one; other splits have one target a row.
    """
    place = pl.col(split)
    if split == "train" and windows == "sliding":
        places = plan.with_columns(pl.int_ranges(min_history, place + 1).alias("place"))
        placed = places.filter(place.is_not_null()).explode("place").drop_nulls("place")
    else:
        placed = plan.with_columns(place.alias("place"))
    at = pl.col("place")
    return placed.filter(at >= min_history).select(
        pl.format("{}:{}", "user_id", pl.col("offset") + at).alias("sample_id"),
        "user_id",
        pl.col("items").list.head(at).list.tail(history_length).alias("history"),
        pl.col("items").list.get(at).alias("target"),
        pl.col("items").list.head(at).alias("earlier"),
    )


def training_sequences(plan: pl.DataFrame) -> pl.DataFrame:
    """Each user's training interactions, oldest first (SEQUENCES)."""
    trained = plan.select("user_id", pl.col("items").list.head("trained"))
    met = trained.filter(pl.col("items").list.len() > 0).explode("items")
    return met.group_by("user_id", maintain_order=True).agg("items")
