"""Negatives by counters: each sample's draw hangs on (seed, protocol, sample_id) alone.

So over an unchanged pool another user, another order or another protocol changes nobody
else's candidates. All of a batch is drawn at once; there is no generator with a state.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mllmrec.dataset.coded import Lists, chunks, starts

CHUNK = 4096  # samples drawn together; bounds memory, changes nothing
CELLS = 1 << 23  # of a table samples × pool, where all items are looked at; the same
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

    ``weights`` (pool,): whole numbers, 0 for an item that is never drawn. ``barred``: a list of
    items for each group of samples (a user, or a sample), which these are not to be given.
    """

    weights: np.ndarray
    barred: Lists
    count: int

    @cached_property
    def reach(self) -> np.ndarray:
        return np.cumsum(self.weights)

    @cached_property
    def is_even(self) -> bool:
        return bool((self.weights == 1).all())

    def left(self) -> np.ndarray:
        """How many items each group leaves to draw from: (groups,)."""
        can, gone = self.weights > 0, [np.empty(0, np.int64)]
        for begin, end in chunks(self.barred.start):
            lists = self.barred.part(begin, end)
            gone.append(np.diff(starts(can[lists.flat])[lists.start]))
        return np.count_nonzero(can) - np.concatenate(gone)

    def negatives(self, key: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Item numbers (samples, count), none twice in a row and none that is barred.

        Every group must leave ``count`` items (see ``left``).
        """
        cuts = range(0, len(key), CHUNK)
        parts = [self._chunk(key[at : at + CHUNK], group[at : at + CHUNK]) for at in cuts]
        return np.concatenate([np.empty((0, self.count), np.int64), *parts])

    def _chunk(self, key: np.ndarray, group: np.ndarray) -> np.ndarray:
        mine = Mine.of(self.barred, group, len(self.weights))
        out, short = np.empty((len(key), self.count), np.int64), np.arange(len(key))
        for block in (self.count + self.count // 8 + 8, 2 * self.count + 16):
            drawn = self._drawn(key[short], block)
            good = ~mine.holds(short, drawn) & ~_is_repeat(drawn)
            kept = good & (good.cumsum(axis=1) <= self.count)
            done = kept.sum(axis=1) == self.count
            out[short[done]] = drawn[done][kept[done]].reshape(-1, self.count)
            short, drawn, kept = short[~done], drawn[~done], kept[~done]
        few = max(1, CELLS // len(self.weights))
        for at in range(0, len(short), few):
            some = slice(at, at + few)
            rows = short[some]
            out[rows] = self._race(key[rows], mine, rows, drawn[some], kept[some])
        return out

    def _drawn(self, key: np.ndarray, block: int) -> np.ndarray:
        aim = np.floor(uniforms(key[:, None], np.arange(block)) * self.reach[-1])
        if self.is_even:
            return aim.astype(np.int64)
        return np.searchsorted(self.reach, aim, side="right")

    def _race(
        self, key: np.ndarray, mine: "Mine", rows: np.ndarray, drawn: np.ndarray, kept: np.ndarray
    ) -> np.ndarray:
        """Fill rows that the draws left short: what they kept, then the rest in racing order.

        The first arrivals of a race of exponential clocks with these rates are distributed
        like further draws without replacement, and it ends however few items are left.
        """
        items = np.arange(len(self.weights))
        clock = -np.log1p(-uniforms(key[:, None], RACE + items.astype(np.uint64)))
        with np.errstate(divide="ignore"):
            arrival = np.where(self.weights > 0, clock / self.weights, np.inf)
        arrival[mine.holds(rows, np.broadcast_to(items, arrival.shape))] = np.inf
        row, place = np.nonzero(kept)
        arrival[row, drawn[row, place]] = place - float(kept.shape[1])  # ahead, as drawn
        return np.argsort(arrival, axis=1, kind="stable")[:, : self.count]


@dataclass(frozen=True, kw_only=True)
class Mine:
    """What is barred to the samples of a chunk: sorted numbers local group · pool + item."""

    local: np.ndarray
    pairs: np.ndarray
    pool: int

    @classmethod
    def of(cls, barred: Lists, group: np.ndarray, pool: int) -> "Mine":
        """Of the samples of these groups, whose lists alone are looked at."""
        groups, local = np.unique(group, return_inverse=True)
        lists = barred.take(groups)
        pairs = np.append(lists.owner * pool + lists.flat, len(groups) * pool)  # never asked for
        return cls(local=local, pairs=np.sort(pairs), pool=pool)

    def holds(self, samples: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Whether the items (samples, any) are barred to the samples of these places."""
        pairs = self.local[samples][:, None] * self.pool + items
        return self.pairs[np.searchsorted(self.pairs, pairs)] == pairs


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
