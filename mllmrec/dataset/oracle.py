"""The best possible score: what someone who knew the process would make of the candidates."""

import numpy as np
import polars as pl

from mllmrec.dataset.base import Oracle
from mllmrec.dataset.candidates import Pool, numbers

CUTOFFS = (3, 5, 10)
NEVER = 1e-12  # stands for the chance of an item that is never drawn as a negative


def oracle_scores(
    oracle: Oracle,
    samples: pl.DataFrame,
    *,
    items: pl.Series,
    pool: Pool,
    protocols: list[str],
) -> pl.DataFrame:
    """``sample_id``, ``protocol``, ``scores`` in the order of the candidates.

    The score of a candidate is log p(i | history) - log q(i), with q what the negatives are
    drawn by: to first order the log-posterior that it is the target. An upper bound: it knows
    the process, and its history is all that came before (``earlier``), not the last few items.
    Hard negatives count as drawn uniformly, so there it is log p(i | history) alone.
    ``items`` are all ids in the oracle's order.
    """
    logs = oracle.log_probability(samples["earlier"].to_list())
    order = np.argsort(items.to_numpy())
    tables = []
    for protocol in protocols:
        width = len(samples[protocol][0])
        ids = samples[protocol].explode()
        log_q = np.log(np.maximum(pool.weights(protocol) / pool.weights(protocol).sum(), NEVER))
        among = order[numbers(ids, items.sort())].reshape(len(samples), width)
        negative = log_q[numbers(ids, pool.item_ids)].reshape(among.shape)
        scores = np.take_along_axis(logs, among, axis=1) - negative
        tables.append(
            samples.select("sample_id", pl.lit(protocol).alias("protocol")).with_columns(
                pl.Series("scores", scores).arr.to_list()
            )
        )
    return pl.concat(tables)


def oracle_metrics(scores: pl.DataFrame, samples: pl.DataFrame) -> dict[str, float]:
    """HR@K and NDCG@K a protocol, for each K below its number of candidates.

    NDCG of one target is 1 / log2(1 + rank); ties count against it.
    """
    metrics = {}
    for (protocol,), part in scores.group_by("protocol", maintain_order=True):
        values = np.stack(part["scores"].to_list())
        candidates = np.stack(samples[str(protocol)].to_list())
        is_target = candidates == samples["target"].to_numpy()[:, None]
        rank = (values >= values[is_target][:, None]).sum(axis=1)
        for k in (k for k in CUTOFFS if k < values.shape[1]):
            metrics[f"oracle/{protocol}/hr@{k}"] = float((rank <= k).mean())
            gain = np.where(rank <= k, 1 / np.log2(1 + rank), 0.0)
            metrics[f"oracle/{protocol}/ndcg@{k}"] = float(gain.mean())
    return metrics
