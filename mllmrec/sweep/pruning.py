"""Early termination: which runs are behind, by W&B's rule over what their probes have said."""

import math
from collections.abc import Mapping, Sequence

from mllmrec.sweep.grammar import Hyperband

TRAINED = ("sft", "grpo", "sft_continued")  # stages that look at a probe while they train
NDCG = "probe/ndcg@5"


def watched(metric: str) -> str | None:
    """What is looked at while a run goes on: the metric itself where a probe measures it.

    ``eval/POLICY/…`` is known at the end alone, so the probe of the stage that trains the policy
    stands for it; None where there is none.
    """
    stage, _, rest = metric.partition("/")
    if stage in TRAINED and rest.startswith("probe/"):
        return metric
    policy = rest.partition("/")[0]
    return f"{policy}/{NDCG}" if stage == "eval" and policy in TRAINED else None


def bands(rule: Hyperband) -> list[int]:
    """The numbers of looks at which runs are held against each other, as W&B has them."""
    if rule.min_iter is not None:
        found, at = [], float(rule.min_iter)
        while at < 1e6:
            found.append(int(at))
            at *= rule.eta
        return found
    found, at = [], float(rule.max_iter or 1)
    for _ in range(rule.s or 0):
        at /= rule.eta
        if at < 1:
            break
        found.append(int(at))
    return sorted(found)


def together(histories: Sequence[Sequence[float]]) -> list[float]:
    """The looks of a point: the mean over its seeds, as far as each of them has come."""
    return [math.fsum(looks) / len(looks) for looks in zip(*histories, strict=False)]


def behind(
    histories: Mapping[int, Sequence[float]], running: Sequence[int], rule: Hyperband, goal: str
) -> dict[int, str]:
    """The running points to stop, and why.

    Of all points that have come to a band, one goes on if its look at the band (``strict: false``:
    its best so far) is among the best 1/eta there (Li et al., 2018, as W&B simplifies it).
    ``histories`` are the looks of every point, by a number; what is no number is behind.
    """
    sign = -1.0 if goal == "maximize" else 1.0
    told = {
        n: [sign * value if math.isfinite(value) else math.inf for value in looks]
        for n, looks in histories.items()
        if looks
    }
    stopped = {}
    for n in running:
        reached = [band for band in bands(rule) if band <= len(told.get(n, []))]
        if not reached:
            continue
        band = reached[-1]
        there = sorted(looks[band - 1] for looks in told.values() if len(looks) >= band)
        limit = there[int(len(there) / rule.eta)]
        mine = told[n][band - 1] if rule.strict else min(told[n])
        if mine > limit:
            stopped[n] = (
                f"after {band} looks of the probe {sign * mine:.4f}, where {sign * limit:.4f} is "
                f"the bar of the best 1/{rule.eta:g}"
            )
    return stopped
