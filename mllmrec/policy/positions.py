"""Whether a policy's hits depend on where in the shown list the target stands."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from mllmrec import ranking
from mllmrec.dataset.negatives import keys, uniforms
from mllmrec.policy.ranked import Ranked, check_same_samples
from mllmrec.seeds import seed_for

EACH = 10  # candidates up to which each place is a bucket of its own; of more, tenths of the list
PLACES = (1, 3)  # K of the hit rates that are told
EXPECTED = 5.0  # least number that a cell must expect for the chi-square distribution to hold
DRAWS = 2000  # of hits among samples, where it does not
SURE = 0.01  # level below which a dependence is worth a line


def permuted(samples: pl.DataFrame, protocol: str, seed: int, permutation: int) -> pl.DataFrame:
    """The samples with their candidates in another order, drawn by sample and permutation.

    0 leaves them as ``prepare`` has put them.
    """
    if not permutation:
        return samples
    drawn = keys(seed_for(seed, "permutation", permutation), protocol, [*samples["sample_id"]])
    rows = [
        [row[place] for place in np.argsort(uniforms(key, np.arange(len(row))), kind="stable")]
        for key, row in zip(drawn, samples[protocol].to_list(), strict=True)
    ]
    return samples.with_columns(pl.Series(protocol, rows, dtype=pl.List(pl.String)))


def positions(samples: pl.DataFrame, protocol: str) -> np.ndarray:
    """The place of each sample's target in its list, from 0."""
    rows = zip(samples[protocol].to_list(), samples["target"], strict=True)
    return np.array([row.index(target) for row, target in rows], dtype=np.int64)


def by_position(position: np.ndarray, ranks: Any, candidates: int, seed: int) -> dict[str, Any]:
    """Hit rates by where the target stood: per ``hr@K`` the rates, their ``spread`` and a ``p``.

    ``places`` names the buckets (from 1, as people count), ``samples`` counts them. ``spread`` is
    the largest rate less the smallest. ``p`` is that of independence of hits and buckets, by the
    chi-square test, or where a cell expects fewer than 5 by drawing hits anew among the samples
    (``test`` says which). A K that is not below the number of candidates is left out.
    """
    size = min(candidates, EACH)
    bucket = np.asarray(position) * size // candidates
    counts = np.bincount(bucket, minlength=size)
    found: dict[str, Any] = {"places": buckets(candidates), "samples": counts.tolist()}
    for k in ranking.admissible_k(PLACES, candidates):
        hits = ranking.hit_rate(ranks, k)
        sums = np.bincount(bucket, weights=hits, minlength=size)
        rates = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
        told = [None if np.isnan(rate) else float(rate) for rate in rates]
        spread = float(np.nanmax(rates) - np.nanmin(rates))
        found[f"hr@{k}"] = {"rates": told, "spread": spread} | independence(bucket, hits, seed)
    return found


def buckets(candidates: int) -> list[str]:
    """What the buckets are called: places of the list, counted from 1."""
    size = min(candidates, EACH)
    ends = [-(-candidates * n // size) for n in range(size + 1)]  # the least p with p·size//c = n
    return [str(b) if b == a + 1 else f"{a + 1}-{b}" for a, b in pairwise(ends)]


def independence(bucket: np.ndarray, hits: np.ndarray, seed: int) -> dict[str, Any]:
    """The p-value of hits that do not depend on the bucket, and the ``test`` that gave it.

    χ² = Σ (observed − expected)² / expected over the table of buckets and hit or miss. Where all
    samples hit, or all miss, or there is one bucket, nothing can depend on anything: p = 1.
    """
    from scipy import stats  # slow to import, and of use here alone

    _, bucket = np.unique(bucket, return_inverse=True)
    counts, rate = np.bincount(bucket), hits.mean()
    if len(counts) < 2 or rate in (0.0, 1.0):
        return {"p": 1.0, "test": "none"}

    def chi_square(sums: np.ndarray) -> np.ndarray:
        excess = sums - counts * rate
        return (excess**2 / (counts * rate * (1 - rate))).sum(axis=-1)  # hits and misses at once

    found = chi_square(np.bincount(bucket, weights=hits))
    if counts.min() * min(rate, 1 - rate) >= EXPECTED:
        return {"p": float(stats.chi2.sf(found, len(counts) - 1)), "test": "chi-square"}
    rng = np.random.default_rng(seed_for(seed, "positions"))
    drawn = rng.multivariate_hypergeometric(counts, int(hits.sum()), size=DRAWS)
    more = int((chi_square(drawn) >= found * (1 - 1e-12)).sum())
    return {"p": (1 + more) / (DRAWS + 1), "test": "permutation"}


def over_orders(base: Ranked, others: Sequence[Ranked], ks: Sequence[int]) -> dict[str, float]:
    """What several orders of the same candidates come to, the one that was prepared among them.

    ``others`` are of some of the samples of ``base``. The metrics' means over all orders, the
    share of samples whose first item is not always the same (``first_changes``), and the mean over
    samples of the worst less the best rank (``rank_spread``); of a target that a list left out,
    the rank is that behind all that were given. ``samples`` and ``orders`` count what was ranked.
    """
    orders = [base.of(others[0].samples), *others]
    check_same_samples({str(n): {"orders": one} for n, one in enumerate(orders)}, "orders")
    tables = [ranking.metrics(one.ranks, ks) for one in orders]
    means = {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}
    places = np.array([np.asarray(one.ranks, dtype=np.int64) for one in orders])
    places = np.where(places == ranking.MISSED, places.max() + 1, places)
    firsts = zip(*(one.firsts for one in orders), strict=True)
    return means | {
        "first_changes": float(np.mean([len({*items}) > 1 for items in firsts])),
        "rank_spread": float((places.max(axis=0) - places.min(axis=0)).mean()),
        "samples": float(places.shape[1]),
        "orders": float(places.shape[0]),
    }


def rows_of(protocols: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What was found, as tables: ``positions`` a row a place, ``orders`` a row a policy."""
    positions, orders = [], []
    for protocol, told in protocols.items():
        for policy, found in told["positions"].items():
            names = [name for name in found if name.startswith("hr@")]
            for n, place in enumerate(found["places"]):
                row = {"protocol": protocol, "policy": policy, "place": place}
                row["samples"] = found["samples"][n]
                positions.append(row | {name: found[name]["rates"][n] for name in names})
        orders += [
            {"protocol": protocol, "policy": policy, **numbers}
            for policy, numbers in told["permutations"].items()
        ]
    return {"positions": even(positions), "orders": even(orders)}


def even(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a table: each has the names of all, and None where it had none."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def dependence(policy: str, protocol: str, found: Mapping[str, Any]) -> str | None:
    """One line on a policy whose hits depend on the place, or None where nothing says so."""
    names = [name for name in found if name.startswith("hr@") and found[name]["p"] < SURE]
    if not names:
        return None
    told = []
    for name in names:
        pairs = zip(found[name]["rates"], found["places"], strict=True)
        rates = [(rate, place) for rate, place in pairs if rate is not None]
        (low, least), (high, most) = min(rates), max(rates)
        told.append(
            f"{name.upper()} {high:.3f} at place {most}, {low:.3f} at {least}"
            f" (p = {found[name]['p']:.2g})"
        )
    return f"{protocol}: hits of {policy} depend on the target's place: {'; '.join(told)}"
