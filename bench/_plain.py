"""The stage `prepare` as one would write it first: Polars on strings, all tables whole in memory.

    python bench/_plain.py RATINGS.csv FOLDER

What `bench/prepare.py` holds the stage against: leave-one-out, the default protocols, no k-core.
The definition of a draw (its counters) is that of the package; how it is carried out is not.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

from mllmrec.dataset.negatives import RACE, SHUFFLE, keys, uniforms

SEED = 42
HISTORY, LEAST, INTERACTIONS = 8, 3, 10  # history_length, min_history, min_interactions
COLUMNS = {
    "train": {"train": "uni9"},
    "validation": {name: name for name in ("uni9", "uni99", "pop9")},
    "test": {name: name for name in ("uni9", "uni99", "pop9")},
}


def sequences(file: Path) -> pl.DataFrame:
    rows = pl.read_csv(file, infer_schema=False).select(
        pl.col("userId").alias("user_id"),
        pl.col("movieId").alias("item_id"),
        pl.col("timestamp").cast(pl.Int64),
    )
    first = (
        rows.unique(maintain_order=True, keep="first")
        .with_row_index("row")
        .sort("timestamp", "row")
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .sort("row")
        .filter(pl.len().over("user_id") >= INTERACTIONS)
    )
    return (
        first.with_columns(pl.col("row").min().over("user_id").alias("met"))
        .sort("met", "timestamp", "row")
        .group_by("user_id", maintain_order=True)
        .agg(pl.col("item_id").alias("items"), pl.col("timestamp").alias("times"))
    )


def samples(users: pl.DataFrame, behind: int) -> pl.DataFrame:
    at = pl.col("items").list.len().cast(pl.Int64) - behind
    return (
        users.with_columns(at.alias("at"))
        .filter(pl.col("at") >= LEAST)
        .select(
            pl.format("{}:{}", "user_id", "at").alias("sample_id"),
            "user_id",
            pl.col("items").list.head("at").list.tail(HISTORY).alias("history"),
            pl.col("items").list.get("at").alias("target"),
        )
    )


def candidates(
    table: pl.DataFrame, protocol: str, ids: pl.Series, own: dict[str, set[int]], weight: np.ndarray
) -> pl.Series:
    count = int(protocol[3:])
    number = {item: place for place, item in enumerate(ids)}
    reach = np.cumsum(weight if protocol.startswith("pop") else np.ones_like(weight))
    key = keys(SEED, protocol, table["sample_id"].to_list())
    chance = SHUFFLE + np.arange(count + 1, dtype=np.uint64)
    order = np.argsort(uniforms(key[:, None], chance), axis=1, kind="stable")
    told = []
    for place, (user, target) in enumerate(table.select("user_id", "target").iter_rows()):
        aim = np.floor(uniforms(key[place], np.arange(2 * count + 16)) * reach[-1])
        drawn = dict.fromkeys(np.searchsorted(reach, aim, side="right").tolist())
        kept = [item for item in drawn if item not in own[user]][:count]
        if len(kept) < count:
            kept = raced(key[place], kept, own[user], np.diff(reach, prepend=0), count)
        listed = [number[target], *kept]
        told.append([listed[at] for at in order[place]])
    flat = ids.gather(np.array(told).ravel())
    return flat.reshape((len(told), count + 1)).arr.to_list()


def raced(
    key: np.ndarray, kept: list[int], own: set[int], weight: np.ndarray, count: int
) -> list[int]:
    clock = -np.log1p(-uniforms(key, RACE + np.arange(len(weight)).astype(np.uint64)))
    arrival = clock / np.maximum(weight, 1e-300)
    rest = [item for item in np.argsort(arrival, kind="stable").tolist() if weight[item] > 0]
    return [*kept, *(item for item in rest if item not in own and item not in kept)][:count]


def main(ratings: Path, folder: Path) -> None:
    users = sequences(ratings)
    trained = pl.col("items", "times").list.head(pl.col("items").list.len().cast(pl.Int64) - 2)
    users.select("user_id", trained).write_parquet(folder / "sequences.parquet")
    ids = users["items"].explode().unique().sort()
    number = pl.DataFrame({"items": ids, "number": np.arange(len(ids))})
    met = users.select("user_id", "items").explode("items").join(number, on="items")
    own = {user: set(part["number"]) for (user,), part in met.group_by("user_id")}
    counts = users.select(trained).select(pl.col("items").explode()).join(number, on="items")
    weight = np.bincount(counts["number"], minlength=len(ids))
    for split, behind in (("train", 3), ("validation", 2), ("test", 1)):
        table = samples(users, behind)
        listed = [
            candidates(table, protocol, ids, own, weight).alias(name)
            for name, protocol in COLUMNS[split].items()
        ]
        table.with_columns(listed).write_parquet(folder / f"{split}.parquet")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
