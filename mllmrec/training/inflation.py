"""Reward inflation: a train reward that rises while what is held out does not.

RI at a look t is (train_t − train_1) − (probe_t − probe_1): ``train`` is the mean reward of the
steps since the look before, ``probe`` the expected reward on the probe without hints. The first
look after the start is the base, as no reward was seen before it.
"""

from collections.abc import Mapping, Sequence

NDCG, REWARD, TRAIN, INFLATION = (
    "probe/ndcg@5",
    "probe/reward",
    "probe/train_reward",
    "probe/inflation",
)
Entry = Mapping[str, float]


def mean_reward(history: Sequence[Entry]) -> float | None:
    """The mean train reward of what was logged since the last look, from the log of a run."""
    found: list[float] = []
    for entry in history:
        if NDCG in entry:
            found = []
        elif "reward" in entry:
            found.append(entry["reward"])
    return sum(found) / len(found) if found else None


def inflation(looks: Sequence[Entry]) -> float | None:
    """RI at the last of these looks; None before there are two with a train reward."""
    told = [look for look in looks if TRAIN in look and REWARD in look]
    if len(told) < 2 or told[-1] is not looks[-1]:
        return None
    first, last = told[0], told[-1]
    return (last[TRAIN] - first[TRAIN]) - (last[REWARD] - first[REWARD])


def is_inflated(looks: Sequence[Entry], patience: int) -> bool:
    """Whether at each of the last ``patience`` looks RI was above 0 and NDCG no better than before.

    "No better": not above the best of all earlier looks, the start included. Looks that know no
    RI, as no reward was logged since the one before, are passed over.
    """
    row = 0
    for place, look in enumerate(looks):
        if INFLATION in look:
            best = max((one[NDCG] for one in looks[:place]), default=look[NDCG])
            row = row + 1 if look[INFLATION] > 0 and look[NDCG] <= best else 0
    return row >= patience


def summary(looks: Sequence[Entry]) -> str:
    """One line for the end of a run."""
    first, last = looks[0], looks[-1]
    best = max(looks, key=lambda look: look[NDCG])
    told = [
        f"NDCG@5 {first[NDCG]:.4f} → {last[NDCG]:.4f}, best {best[NDCG]:.4f} at step "
        f"{best['step']:.0f}"
    ]
    if TRAIN in last:
        start = next(look for look in looks if TRAIN in look)
        told.append(f"train reward {start[TRAIN]:.3f} → {last[TRAIN]:.3f}")
    if REWARD in last:
        told.append(f"probe reward {first[REWARD]:.3f} → {last[REWARD]:.3f}")
    if "probe/hint/ndcg@5" in last:
        told.append(
            f"with the hint NDCG@5 {first['probe/hint/ndcg@5']:.4f} → "
            f"{last['probe/hint/ndcg@5']:.4f}"
        )
    if INFLATION in last:
        told.append(f"reward inflation {last[INFLATION]:+.3f}")
    return ", ".join(told)
