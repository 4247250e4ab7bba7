"""Policies without a language model, on the same samples: the bars that a model must beat."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from mllmrec.records import Prepared

Scores = list[list[float]]
Lists = Sequence[Sequence[str]]


def random_scores(prepared: Prepared, histories: Lists, candidates: Lists) -> Scores:
    """Equal scores: the ranking's seeded order of ties decides, so this is chance."""
    return [[0.0] * len(row) for row in candidates]


def popularity_scores(prepared: Prepared, histories: Lists, candidates: Lists) -> Scores:
    """The number of training interactions of each candidate."""
    counts = prepared.sequences.explode("items").group_by("items").len()
    count = dict(zip(counts["items"], counts["len"], strict=True))
    return [[float(count.get(item, 0)) for item in row] for row in candidates]


def cooccurrence_scores(prepared: Prepared, histories: Lists, candidates: Lists) -> Scores:
    """Σ over the history of cos(item, candidate), on the binary user × item training matrix."""
    index = {item: column for column, item in enumerate(prepared.items["item_id"])}
    cosine = cosines(prepared.sequences, index)
    scores = []
    for history, row in zip(histories, candidates, strict=True):
        seen = [index[item] for item in history]
        total = np.asarray(cosine[seen].sum(axis=0)).ravel()
        scores.append([float(total[index[item]]) for item in row])
    return scores


def cosines(sequences: pl.DataFrame, index: dict[str, int]) -> Any:
    """Cosine of each pair of items' columns of users, zero on the diagonal; (items, items)."""
    from scipy import sparse  # slow to import, and of use here alone

    pairs = sequences.with_row_index("user").explode("items").drop_nulls().unique(["user", "items"])
    columns = pairs["items"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
    ones = np.ones(len(pairs), dtype=np.float64)
    shape = (len(sequences), len(index))
    watched = sparse.csr_array((ones, (pairs["user"].to_numpy(), columns)), shape=shape)
    norm = np.sqrt(np.asarray(watched.sum(axis=0)).ravel())
    scale = sparse.diags_array(np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0))
    cosine = (scale @ (watched.T @ watched) @ scale).tolil()
    cosine.setdiag(0.0)
    return cosine.tocsr()


BASELINES: dict[str, Callable[[Prepared, Lists, Lists], Scores]] = {
    "random": random_scores,
    "popularity": popularity_scores,
    "cooccurrence": cooccurrence_scores,
}
