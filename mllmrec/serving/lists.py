"""Histories ranked in blocks, each kept as it is done, so that a killed run goes on from there."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from mllmrec import progress, ranking, records
from mllmrec.dataset.coded import starts
from mllmrec.dataset.full import Open, Scored, in_pool
from mllmrec.records import Prepared

BLOCK = 256  # histories that are ranked, and kept, at once
CANDIDATES = "candidates"
LISTS = pl.Schema(
    {"id": pl.String(), "ranked": pl.List(pl.String), "scores": pl.List(pl.Float64)}
)  # best first


class Scorer(Protocol):
    """A policy: scores of the candidates that a column names, and of the whole catalogue."""

    @property
    def listed(self) -> Callable[[pl.DataFrame, str], list[list[float]]]: ...

    @property
    def whole(self) -> Callable[[Open], Scored] | None: ...


def samples_of(requests: pl.DataFrame, length: int) -> pl.DataFrame:
    """Requests as a policy reads samples: the last ``length`` items of each history.

    ``place`` counts a row among those that are ranked as it is, from a list or from the
    catalogue: equal scores are drawn by it.
    """
    is_listed = pl.col(CANDIDATES).is_not_null()
    return requests.select(
        pl.col("id").alias("sample_id"),
        pl.col("history").list.tail(length),
        "barred",
        CANDIDATES,
        is_listed.alias("is_listed"),
        pl.int_range(pl.len()).over(is_listed).alias("place"),
    )


def ranked(
    samples: pl.DataFrame,
    scorer: Callable[[], Scorer],
    prepared: Prepared,
    *,
    top: int,
    seed: int,
    parts: Path,
) -> pl.DataFrame:
    """The first ``top`` items of every sample (LISTS), block after block.

    Blocks that lie in ``parts`` are not ranked again; the policy is made when the first one is.
    """
    parts.mkdir(parents=True, exist_ok=True)
    found, made, closed = [], None, ~in_pool(prepared)
    with progress.Bar("recommend", len(samples), "list") as bar:
        for start in range(0, len(samples), BLOCK):
            block, file = samples[start : start + BLOCK], parts / f"{start}.parquet"
            if not file.is_file():
                made = made or scorer()
                with progress.within(bar):
                    keep(in_order(block, made, prepared, closed, top, seed), file)
            found.append(pl.read_parquet(file))
            bar.step(start + len(block) - bar.done)
    return pl.concat([LISTS.to_frame(), *found])


def keep(lists: pl.DataFrame, file: Path) -> None:
    """Write a block so that its file is whole if it is there."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    lists.write_parquet(scratch)
    scratch.replace(file)


def in_order(
    block: pl.DataFrame, scorer: Scorer, prepared: Prepared, closed: Any, top: int, seed: int
) -> pl.DataFrame:
    """The lists of one block, in its order."""
    listed, others = block.filter("is_listed"), block.filter(~pl.col("is_listed"))
    rows: list[tuple[str, list[str], list[float]]] = []
    if len(listed):
        rows += from_candidates(listed, scorer, top, seed)
    if len(others):
        assert scorer.whole
        rows += from_catalogue(others, scorer.whole, prepared, closed, top, seed)
    lists = pl.DataFrame(rows, schema=LISTS, orient="row")
    return block.select(id="sample_id").join(lists, on="id", how="left", maintain_order="left")


def from_candidates(
    samples: pl.DataFrame, scorer: Scorer, top: int, seed: int
) -> Iterator[tuple[str, list[str], list[float]]]:
    """The lists of samples that name their candidates."""
    scores = scorer.listed(samples, CANDIDATES)
    order = ranking.order(ranking.table(scores), seed, samples["place"][0])
    rows = zip(samples["sample_id"], samples[CANDIDATES].to_list(), scores, order, strict=True)
    for id, candidates, own, best in rows:
        first = best[: min(top, len(own))]
        yield id, [candidates[i] for i in first], [float(own[i]) for i in first]


def from_catalogue(
    samples: pl.DataFrame,
    whole: Callable[[Open], Scored],
    prepared: Prepared,
    closed: Any,
    top: int,
    seed: int,
) -> Iterator[tuple[str, list[str], list[float]]]:
    """The lists of samples whose candidates are all items but those that are barred.

    What a search has not found is in no list, so that one may be shorter.
    """
    asked, first = opened(samples, prepared, closed), samples["place"][0]
    for some, scores in whole(asked):
        table = asked.masked(some, scores)
        best = ranking.best(table, min(top, table.shape[1]), seed, first + some.start)
        values = np.take_along_axis(table, best, axis=1)
        for id, columns, own in zip(samples["sample_id"][some], best, values, strict=True):
            is_found = ~np.isneginf(own)
            yield id, asked.ids.gather(columns[is_found]).to_list(), own[is_found].tolist()


def opened(samples: pl.DataFrame, prepared: Prepared, closed: Any) -> Open:
    """The samples with the columns that are barred behind each."""
    ids = prepared.items["item_id"]
    return Open(
        samples=samples,
        ids=ids,
        closed=closed,
        own=records.columns(samples["barred"].explode().drop_nulls(), ids),
        starts=starts(samples["barred"].list.len().cast(pl.Int64).to_numpy()),
    )
