"""Batches of rows of like length, in an order of the seed and the epoch; parts that fit memory."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from torch.utils.data import Sampler

from mllmrec.seeds import seed_for

POOL = 32  # batches that are sorted by length together: like lengths, and still a mix


class LengthSampler(Sampler[int]):
    """Indices such that each run of ``batch_size`` has rows of like length: little padding.

    Rows are shuffled, sorted by length within pools of batches, and the batches shuffled. The
    trainer calls ``set_epoch``, also on resuming, so a resumed run sees the same order.
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = np.asarray(lengths), batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        draw = np.random.default_rng(seed_for(self.seed, "batches", self.epoch))
        order, size = draw.permutation(len(self.lengths)), self.batch_size * POOL
        pools = [order[start : start + size] for start in range(0, len(order), size)]
        order = np.concatenate([p[np.argsort(self.lengths[p], kind="stable")] for p in pools])
        whole = len(order) // self.batch_size * self.batch_size
        batches = order[:whole].reshape(-1, self.batch_size)
        yield from draw.permutation(batches, axis=0).ravel().tolist()
        yield from order[whole:].tolist()  # the one batch that is not full comes last


def steps_reading(tokens: float, sampler: LengthSampler) -> int:
    """The fewest batches of a sampler, epoch after epoch, with so many tokens; one at least."""
    steps, left = 0, tokens
    for epoch in count():
        sampler.set_epoch(epoch)
        order = np.fromiter(sampler, dtype=np.int64)
        starts = np.arange(0, len(order), sampler.batch_size)
        read = np.add.reduceat(sampler.lengths[order], starts).cumsum()
        if read[-1] >= left:
            return max(1, steps + int(np.searchsorted(read, left)) + 1)
        steps, left = steps + len(starts), left - float(read[-1])
    raise AssertionError("epochs have no end")


def parts(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of rows of like length, shortest first, in parts of one row at least.

    A part of several rows, each padded to the part's longest, has at most ``budget`` tokens.
    """
    found: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if found and (len(found[-1]) + 1) * lengths[row] <= budget:
            found[-1].append(row)
        else:
            found.append([row])
    return found
