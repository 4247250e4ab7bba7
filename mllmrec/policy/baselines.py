"""Policies without training, as scores of the whole catalogue: the bars that a model must beat.

A policy is made from what ``prepare`` has left, and then is a function of histories; its columns
stand in the order of ``prepared.items``. Nothing but training interactions is ever counted.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from mllmrec import records
from mllmrec.dataset.full import Catalogue, chunks
from mllmrec.errors import Refusal
from mllmrec.records import Prepared

Lists = Sequence[Sequence[str]]

RECENT = 0.1  # share of the training time span, its end, that counts as recent
PRIOR = 1.0  # transitions that popularity is worth beside those that were seen


def random(prepared: Prepared) -> Catalogue:
    """Equal scores: the ranking's seeded order of ties decides, so this is chance."""
    size = prepared.items.height
    return lambda histories: np.zeros((len(histories), size))


def popularity(prepared: Prepared) -> Catalogue:
    """The number of training interactions of each item, as ``prepare`` has counted them."""
    if not prepared.has("popularity"):  # prepared before the table was
        return everywhere(counts(columns(prepared, exploded(prepared)["items"]), prepared))
    table = prepared.scan("popularity").collect()
    scores = np.zeros(prepared.items.height)
    scores[columns(prepared, table["item_id"])] = table["weight"].to_numpy()
    return everywhere(scores)


def popularity_recent(prepared: Prepared) -> Catalogue:
    """The number of an item's interactions in the last tenth of the training time span.

    An interaction counts at time t > last − (last − first) / 10, and where all have one time.

    Raises:
        Refusal: the sequences were prepared without their times.
    """
    if "times" not in prepared.sequences.columns:
        raise Refusal(
            "popularity_recent: sequences.parquet has no times, so nothing is recent",
            allowed="sequences with a column `times`, as stage=prepare writes them",
            do="type force=[prepare] to prepare the data again, or leave popularity_recent out of"
            " evaluate.policies",
        )
    met = exploded(prepared, "times")
    times = met["times"].to_numpy()
    first, last = (int(times.min()), int(times.max())) if len(times) else (0, 0)
    is_recent = times > last - (last - first) * RECENT if last > first else times == last
    return everywhere(counts(columns(prepared, met["items"])[is_recent], prepared))


def markov(prepared: Prepared) -> Catalogue:
    """P(next | last item): counted transitions, smoothed by popularity.

    P(j | i) = (n(i → j) + p(j)) / (n(i) + 1), where n counts neighbours in training sequences and
    p is an item's share of the training interactions (a Dirichlet prior of mass 1). Without a
    history, or after an item that nothing has followed, it is p.
    """
    met = exploded(prepared)
    item = columns(prepared, met["items"])
    total = counts(item, prepared)
    share = total / max(total.sum(), 1.0)
    follows = met["user"].to_numpy()[1:] == met["user"].to_numpy()[:-1]
    size = len(share)
    seen = matrix(item[:-1][follows], item[1:][follows], (size + 1, size))  # last row: no history
    index = column_of(prepared)

    def score(histories: Lists) -> np.ndarray:
        last = [index[history[-1]] if len(history) else size for history in histories]
        found = seen[last].toarray()
        return (found + PRIOR * share) / (found.sum(axis=1, keepdims=True) + PRIOR)

    return score


def cooccurrence(prepared: Prepared) -> Catalogue:
    """Σ over the history of cos(item, candidate), on the binary user × item training matrix.

    This is item-kNN with all neighbours and no shrinkage (Sarwar et al., 2001).
    """
    cosine, index = cosines(prepared), column_of(prepared)

    def score(histories: Lists) -> np.ndarray:
        from scipy import sparse

        seen = [index[item] for history in histories for item in history]
        ends = np.cumsum([0, *map(len, histories)])
        shape = (len(histories), len(index))
        chosen = sparse.csr_array((np.ones(len(seen)), seen, ends), shape=shape)
        return (chosen @ cosine).toarray()

    return score


BASELINES: dict[str, Callable[[Prepared], Catalogue]] = {
    "random": random,
    "popularity": popularity,
    "popularity_recent": popularity_recent,
    "markov": markov,
    "cooccurrence": cooccurrence,
}


def gathered(
    catalogue: Catalogue, prepared: Prepared, histories: Lists, candidates: Lists
) -> list[list[float]]:
    """The scores of each history's candidates, from so many histories at once as memory allows."""
    index = column_of(prepared)
    scores = []
    for some in chunks(len(histories), len(index)):
        rows = zip(catalogue(histories[some]), candidates[some], strict=True)
        scores += [row[[index[item] for item in listed]].tolist() for row, listed in rows]
    return scores


def everywhere(scores: np.ndarray) -> Catalogue:
    """The same scores whatever the history."""
    return lambda histories: np.tile(scores, (len(histories), 1))


def column_of(prepared: Prepared) -> dict[str, int]:
    """The column of each item of the catalogue."""
    return {item: column for column, item in enumerate(prepared.items["item_id"])}


def columns(prepared: Prepared, ids: pl.Series) -> np.ndarray:
    """The column of each id: int64."""
    return records.columns(ids, prepared.items["item_id"])


def exploded(prepared: Prepared, *more: str) -> pl.DataFrame:
    """The training interactions, one a row: ``user`` (its row), ``items``, and ``more``."""
    wanted = prepared.sequences.select("items", *more).with_row_index("user")
    return wanted.explode("items", *more).drop_nulls("items")


def counts(item: np.ndarray, prepared: Prepared) -> np.ndarray:
    """How often each column of the catalogue occurs: float64."""
    return np.bincount(item, minlength=prepared.items.height).astype(np.float64)


def matrix(rows: np.ndarray, at: np.ndarray, shape: tuple[int, int]) -> Any:
    """How often each pair occurs, sparse, its places in 32 bits where they fit."""
    from scipy import sparse  # slow to import, and of use here alone

    kind = sparse.get_index_dtype(maxval=max(*shape, len(rows)))
    pairs = (rows.astype(kind), at.astype(kind))
    return sparse.coo_array((np.ones(len(rows)), pairs), shape=shape).tocsr()


def cosines(prepared: Prepared) -> Any:
    """Cosine of each pair of items' columns of users, zero on the diagonal; (items, items).

    Sparse: twelve bytes for each ordered pair of items that some user has both of, sixteen from 2³¹
    pairs on; while it is made about 100 MB more.
    """
    pairs = exploded(prepared).unique(["user", "items"])
    at = columns(prepared, pairs["items"])
    shape = (prepared.sequences.height, prepared.items.height)
    watched = matrix(pairs["user"].to_numpy(), at, shape)
    both = watched.T.tocsr() @ watched
    norm = np.sqrt(both.diagonal())
    scale = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    for some in chunks(len(scale), len(scale)):
        ends = both.indptr[some.start : some.stop + 1]
        values, at = both.data[ends[0] : ends[-1]], both.indices[ends[0] : ends[-1]]
        row = np.repeat(np.arange(len(scale))[some], np.diff(ends))
        values *= scale[row]
        values *= scale[at]
        values[at == row] = 0.0
    return both
