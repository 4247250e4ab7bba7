"""From interactions in file order to one row of items a user: repeats, k-core, time order."""

import polars as pl


def without_repeats(interactions: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Each (user, item) once, at its first time; also how many rows went, by reason.

    ``duplicates`` are rows equal in user, item and timestamp; ``repeats`` the same item met
    again later, which leaves a sequence because the task is the next *new* item.
    """
    distinct = interactions.unique(maintain_order=True, keep="first")
    first = (
        distinct.with_row_index("row")
        .sort("timestamp", "row")
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .sort("row")
        .drop("row")
    )
    gone = {
        "duplicates": interactions.height - distinct.height,
        "repeats": distinct.height - first.height,
    }
    return first, gone


def k_core(interactions: pl.DataFrame, *, per_user: int, per_item: int | None) -> pl.DataFrame:
    """The largest part where each user has ``per_user`` rows and each item ``per_item``.

    Dropping a user can make an item too rare and the other way round, so it is repeated
    until nothing goes; without ``per_item`` one pass is enough.
    """
    while True:
        kept = interactions.filter(
            (pl.len().over("user_id") >= per_user) & (pl.len().over("item_id") >= (per_item or 1))
        )
        if kept.height == interactions.height:
            return kept
        interactions = kept


def sequences(interactions: pl.DataFrame) -> pl.DataFrame:
    """``user_id`` and ``items``, oldest first; ties keep file order, users their first row's."""
    return (
        interactions.with_columns(pl.col("user_id").rle_id().alias("met"))
        .with_columns(pl.col("met").min().over("user_id"))
        .sort("met", "timestamp", maintain_order=True)
        .group_by("user_id", maintain_order=True)
        .agg(pl.col("item_id").alias("items"))
    )
