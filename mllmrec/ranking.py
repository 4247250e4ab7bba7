"""How good a ranking is: ranks, HR@K, NDCG@K, MRR, their uncertainty, and who is better.

Every metric is returned for each sample; its mean over samples is the number to report. Keeping
the samples apart is what intervals and paired comparisons are made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mllmrec.errors import Refusal

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Verdict = Literal["above", "below", "not distinguishable"]
DRAWS = 2000  # of the bootstrap: p-values down to 0.001
LEVEL = 0.95  # of the intervals
MISSED = 0  # the rank of a target that a list does not name: no metric counts it
_BLOCK = 4_000_000  # resampled indices held at once: 32 MB
EXACT = 25  # samples that differ: so many or fewer are tested by all ways to flip their signs
_TIE = 1e-12  # a resampled difference that is no larger is 0, and rounding alone made it something


def table(rows: Sequence[Sequence[float]]) -> Floats:
    """Scores of unequal numbers of candidates as one array, padded with −inf at the end."""
    scores = np.full((len(rows), max(map(len, rows), default=0)), -np.inf)
    for row, values in zip(scores, rows, strict=True):
        row[: len(values)] = values
    return scores


def order(scores: Any, seed: int, first: int = 0) -> Ints:
    """Columns of each row, best score first; shape (samples, candidates) in and out.

    Candidates with equal scores are put in an order drawn from ``(seed, row, column)`` alone: it
    knows nothing of the target, so a policy that cannot tell candidates apart scores like chance,
    neither like the best nor like the worst. −inf marks a column that is no candidate; a NaN
    raises Refusal. ``first`` is the number of the first row, where a table comes in parts.
    """
    scores = _checked(scores)
    rows = first + np.arange(len(scores))[:, None]
    draws = _drawn(rows, np.arange(scores.shape[1]), seed)
    return np.lexsort((draws, -scores), axis=1).astype(np.int64)


def ranks(scores: Any, target: Any, seed: int, first: int = 0) -> Ints:
    """The place of each row's target column in ``order``, from 1; shape (samples,).

    rank = 1 + #{better} + #{equal and drawn before it}: nothing is sorted, and only equals are
    drawn. Raises Refusal as ``order`` does.
    """
    scores = _checked(scores)
    columns = np.asarray(target, dtype=np.int64)
    own = np.take_along_axis(scores, columns[:, None], axis=1)
    found = 1 + (scores > own).sum(axis=1, dtype=np.int64)
    equal = scores == own
    for row in np.flatnonzero(equal.sum(axis=1) > 1):  # one by one: what is drawn stays in cache
        draws = _drawn(first + row, np.flatnonzero(equal[row]), seed)
        found[row] += (draws < _drawn(first + row, columns[row], seed)).sum()
    return found


def best(scores: Any, count: int, seed: int, first: int = 0) -> Ints:
    """The first ``count`` columns of ``order``, (samples, count), without sorting all of them."""
    scores = _checked(scores)
    size = scores.shape[1]
    if count >= size:
        return order(scores, seed, first)
    least = np.partition(scores, size - count, axis=1)[:, [size - count]]
    kept, equal = scores >= least, scores == least
    for many in np.flatnonzero(equal.sum(axis=1) > count):  # of so many equals the first ones do
        tied = np.flatnonzero(equal[many])
        drawn = _drawn(first + many, tied, seed)
        kept[many, tied[drawn > np.partition(drawn, count - 1)[count - 1]]] = False
    row, column = np.nonzero(kept)
    draws = _drawn(first + row, column, seed)
    columns = column[np.lexsort((draws, -scores[row, column], row))]
    starts = np.searchsorted(row, np.arange(len(scores)))
    return columns[starts[:, None] + np.arange(count)]


def hit_rate(ranks: Ints, k: int) -> Floats:
    """HR@K of each sample with one relevant item: 1 if rank ≤ K, else 0, as where it is MISSED."""
    return (_places(ranks) <= k).astype(np.float64)


def ndcg(ranks: Ints, k: int) -> Floats:
    """NDCG@K of each sample with one relevant item: 1/log₂(rank + 1) if rank ≤ K, else 0.

    The ideal DCG is 1/log₂(2) = 1 (Järvelin and Kekäläinen, 2002).
    """
    places = _places(ranks)
    return np.where(places <= k, 1 / np.log2(places + 1), 0.0)


def mrr(ranks: Ints) -> Floats:
    """Reciprocal rank of each sample, 1/rank, without a cut-off; 0 where it is MISSED."""
    return 1 / _places(ranks)


def metrics(ranks: Ints, ks: Sequence[int]) -> dict[str, Floats]:
    """Each sample's ``hr@K`` and ``ndcg@K`` at every K, and ``mrr``, by the metric's name."""
    values = {f"hr@{k}": hit_rate(ranks, k) for k in ks}
    return values | {f"ndcg@{k}": ndcg(ranks, k) for k in ks} | {"mrr": mrr(ranks)}


def admissible_k(ks: Sequence[int], n: int) -> tuple[int, ...]:
    """The K below the number of candidates: at K ≥ n every ranking scores HR@K = 1."""
    return tuple(k for k in ks if 0 < k < n)


def admissible(ks: Sequence[int], candidates: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The admissible K of each protocol, by its number of candidates.

    Raises Refusal where no protocol admits any K.
    """
    kept = {protocol: admissible_k(ks, n) for protocol, n in candidates.items()}
    if any(kept.values()):
        return kept
    sizes = ", ".join(f"{protocol} has {n}" for protocol, n in candidates.items())
    most = max(candidates.values(), default=0) - 1
    raise Refusal(
        f"no K of {list(ks)} is below the number of candidates ({sizes or 'no protocol'})",
        allowed=f"K from 1 to {most}",
        do="evaluate.k=[1]",
    )


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over samples and the interval that covers it at the given level."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean paired difference of two policies, its interval, and a two-sided p-value."""

    diff: float
    low: float
    high: float
    p: float


def intervals(
    values: Mapping[str, Floats], seed: int, *, draws: int = DRAWS, level: float = LEVEL
) -> dict[str, Interval]:
    """Percentile bootstrap interval of the mean of each array of per-sample values.

    All arrays belong to the same samples and are resampled together (Efron and Tibshirani, 1993,
    §13.3). Raises Refusal where there are no samples.
    """
    stacked = np.column_stack(list(values.values()))
    low, high = _ends(_resampled(stacked, seed, draws), level)
    return {
        name: Interval(mean=float(mean), low=float(lowest), high=float(highest))
        for name, mean, lowest, highest in zip(values, stacked.mean(0), low, high, strict=True)
    }


def difference(
    ours: Floats, theirs: Floats, seed: int, *, draws: int = DRAWS, level: float = LEVEL
) -> Difference:
    """Paired bootstrap of mean(ours − theirs), both given for the same samples in one order.

    p = min(1, 2·(1 + min(#{d* ≤ 0}, #{d* ≥ 0})) / (draws + 1)) over resampled differences d*,
    the two-sided level at which the percentile interval reaches 0 (Efron and Tibshirani, 1993,
    §16.4), and never below ``sign_flip``: resampling few that differ says too much. Raises
    ValueError where the numbers of samples differ, Refusal where there are none.
    """
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"not the same samples: {ours.shape} and {theirs.shape}")
    return differences((ours - theirs)[:, None], seed, draws=draws, level=level)[0]


def differences(
    paired: Floats, seed: int, *, draws: int = DRAWS, level: float = LEVEL
) -> list[Difference]:
    """``difference`` of many at once: a column of per-sample differences each, (samples, m).

    All are resampled together, so that a thousand cost one product of matrices.
    """
    means = _resampled(paired, seed, draws)
    low, high = _ends(means, level)
    rarer = np.minimum((means <= _TIE).sum(axis=0), (means >= -_TIE).sum(axis=0))
    p = np.minimum(1.0, 2 * (1 + rarer) / (draws + 1))
    few = [sign_flip(column) or 0.0 for column in paired.T]
    return [
        Difference(diff=float(a), low=float(b), high=float(c), p=float(d))
        for a, b, c, d in zip(paired.mean(axis=0), low, high, np.maximum(p, few), strict=True)
    ]


def sign_flip(paired: Floats) -> float | None:
    """The two-sided p of a sum of paired differences over all ways to flip their signs.

    Exact (Fisher, 1935, §21); None where more than ``EXACT`` differ from 0. Half meets half.
    """
    sizes = np.abs(paired[np.abs(paired) > _TIE])
    if len(sizes) > EXACT:
        return None
    total = abs(float(paired.sum())) - _TIE * max(1, len(paired))
    if total <= 0:
        return 1.0
    one, other = (_flipped(part) for part in np.array_split(sizes, 2))
    other.sort()
    above = len(other) - np.searchsorted(other, total - one, side="left")
    below = np.searchsorted(other, -total - one, side="right")
    return float((above.sum() + below.sum()) / 2 ** len(sizes))


def _flipped(sizes: Floats) -> Floats:
    sums = np.zeros(1)  # of all signs
    for size in sizes:
        sums = np.append(sums - size, sums + size)
    return sums


def holm(p: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, so adjusted that the chance of any false one is bounded.

    The i-th smallest of m becomes max over j ≤ i of min(1, (m − j + 1)·p₍ⱼ₎) (Holm, 1979).
    """
    found = np.zeros(len(p))
    rising = np.argsort(p, kind="stable")
    left = len(p) - np.arange(len(p))
    found[rising] = np.maximum.accumulate(np.minimum(1.0, left * np.asarray(p)[rising]))
    return found.tolist()


def verdict(difference: Difference) -> Verdict:
    """What a difference allows to say: its interval lies above 0, below 0, or holds 0."""
    if difference.low > 0:
        return "above"
    return "below" if difference.high < 0 else "not distinguishable"


def _places(ranks: Any) -> Floats:
    """Ranks, where the place of what was missed is beyond every other."""
    ranks = np.asarray(ranks, dtype=np.float64)
    return np.where(ranks == MISSED, np.inf, ranks)


def _checked(scores: Any) -> Floats:
    scores = np.asarray(scores, dtype=np.float64)
    if np.isnan(scores).any():
        row = int(np.isnan(scores).any(axis=1).argmax())
        raise Refusal(
            f"the scores of sample {row} hold NaN, so they rank nothing",
            allowed="finite scores, and -inf where there is no candidate",
            do="type a lower learning rate of what was ranked: sft.learning_rate=1.0e-5 for the"
            " model, recommender.NAME.learning_rate=1.0e-4 for a recommender of that NAME",
        )
    return scores


def _drawn(rows: Any, columns: Any, seed: int) -> Any:
    """A number for each (row, column): SplitMix64 (Steele et al., 2014), one counter a cell."""
    row, column = (np.asarray(numbers).astype(np.uint64) for numbers in (rows, columns))
    return _mix(_mix(_mix(np.uint64(seed)) ^ row) ^ column)


def _mix(x: Any) -> Any:
    with np.errstate(over="ignore"):  # arithmetic modulo 2⁶⁴ is meant
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _resampled(values: Floats, seed: int, draws: int) -> Floats:
    """Means (draws, m) of values (n, m) over samples drawn with replacement, in blocks."""
    n = len(values)
    if n == 0:
        raise Refusal(
            "there are no samples to average over",
            allowed="one sample or more",
            do="let shorter users in: dataset.min_interactions=3",
        )
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    means = []
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        means.append(counts @ values / n)
    return np.concatenate(means)


def _ends(means: Floats, level: float) -> tuple[Floats, Floats]:
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
