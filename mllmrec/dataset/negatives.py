"""Negatives by counters: each sample's draw hangs on (seed, protocol, sample_id) alone.

So over an unchanged pool another user, another order or another protocol changes nobody
else's candidates. All of a batch is drawn at once; there is no generator with a state.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CHUNK = 4096  # samples drawn together; bounds memory, changes nothing
RACE, SHUFFLE = np.uint64(1 << 40), np.uint64(1 << 41)  # counters far from those of the draws


def keys(seed: int, protocol: str, sample_ids: Sequence[str]) -> np.ndarray:
    """One 64-bit key a sample."""
    prefix = hashlib.blake2b(f"{seed}\0{protocol}\0".encode(), digest_size=8)
    digests = bytearray()
    for sample_id in sample_ids:
        told = prefix.copy()
        told.update(sample_id.encode())
        digests += told.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)


def uniforms(key: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), one a (key, counter): SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        state = key + (counter.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Draws ``count`` negatives a sample from a pool of numbered items, by weight.

    ``weights`` (pool,): whole numbers, 0 for an item that is never drawn. ``owned``: sorted
    numbers user · pool + item, one for each pair that must not be drawn.
    """

    weights: np.ndarray
    owned: np.ndarray
    count: int

    def left(self, users: int) -> np.ndarray:
        """How many items each of the users leaves to draw from: (users,)."""
        pool = len(self.weights)
        barred = self.owned[self.weights[self.owned % pool] > 0] // pool
        return np.count_nonzero(self.weights) - np.bincount(barred, minlength=users)

    def negatives(self, key: np.ndarray, user: np.ndarray) -> np.ndarray:
        """Item numbers (samples, count), none twice in a row and none that the user owns.

        Every user must leave ``count`` items (see ``left``).
        """
        starts = range(0, len(key), CHUNK)
        chunks = [self._chunk(key[at : at + CHUNK], user[at : at + CHUNK]) for at in starts]
        return np.concatenate([np.empty((0, self.count), np.int64), *chunks])

    def _chunk(self, key: np.ndarray, user: np.ndarray) -> np.ndarray:
        reach = np.cumsum(self.weights)
        block = 2 * self.count + 16
        aim = np.floor(uniforms(key[:, None], np.arange(block)) * reach[-1])
        drawn = np.searchsorted(reach, aim, side="right")
        good = ~self._is_owned(user, drawn) & ~_is_repeat(drawn)
        kept = good & (good.cumsum(axis=1) <= self.count)
        done = kept.sum(axis=1) == self.count
        out = np.empty((len(key), self.count), np.int64)
        out[done] = drawn[done][kept[done]].reshape(-1, self.count)
        short = np.flatnonzero(~done)
        if len(short):
            out[short] = self._race(key[short], user[short], drawn[short], kept[short])
        return out

    def _race(
        self, key: np.ndarray, user: np.ndarray, drawn: np.ndarray, kept: np.ndarray
    ) -> np.ndarray:
        """Fill rows that the draws left short: what they kept, then the rest in racing order.

        The first arrivals of a race of exponential clocks with these rates are distributed
        like further draws without replacement, and it ends however few items are left.
        """
        items = np.arange(len(self.weights))
        clock = -np.log1p(-uniforms(key[:, None], RACE + items.astype(np.uint64)))
        with np.errstate(divide="ignore"):
            arrival = np.where(self.weights > 0, clock / self.weights, np.inf)
        arrival[self._is_owned(user, np.broadcast_to(items, arrival.shape))] = np.inf
        row, place = np.nonzero(kept)
        arrival[row, drawn[row, place]] = place - float(kept.shape[1])  # ahead, as drawn
        return np.argsort(arrival, axis=1, kind="stable")[:, : self.count]

    def _is_owned(self, user: np.ndarray, items: np.ndarray) -> np.ndarray:
        pairs = user[:, None] * len(self.weights) + items
        place = np.searchsorted(self.owned, pairs)
        return self.owned[np.minimum(place, len(self.owned) - 1)] == pairs


def _is_repeat(drawn: np.ndarray) -> np.ndarray:
    """Where a row holds a number that it held before."""
    order = np.argsort(drawn, axis=1, kind="stable")
    ranked = np.take_along_axis(drawn, order, axis=1)
    same = np.zeros(drawn.shape, bool)
    same[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    repeat = np.empty_like(same)
    np.put_along_axis(repeat, order, same, axis=1)
    return repeat


def shuffled(key: np.ndarray, target: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Candidates (samples, 1 + count): the target and its negatives in an order of chance."""
    candidates = np.concatenate([target[:, None], negatives], axis=1)
    counter = SHUFFLE + np.arange(candidates.shape[1], dtype=np.uint64)
    order = np.argsort(uniforms(key[:, None], counter), axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1)
