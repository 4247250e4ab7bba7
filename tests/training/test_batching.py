import numpy as np

from mllmrec.training.batching import LengthSampler

LENGTHS = np.random.default_rng(0).integers(10, 100, 1003).tolist()


def order(epoch, seed=1):
    sampler = LengthSampler(LENGTHS, 16, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def padded(indices):
    batches = [indices[start : start + 16] for start in range(0, len(indices), 16)]
    return sum(len(batch) * max(LENGTHS[i] for i in batch) for batch in batches)


def test_every_row_comes_once_an_epoch():
    assert sorted(order(0)) == list(range(1003))


def test_batches_hold_rows_of_like_length():
    shuffled = np.random.default_rng(0).permutation(1003).tolist()
    assert padded(order(0)) < 1.1 * sum(LENGTHS) < padded(shuffled)


def test_the_order_is_the_epochs_own():
    assert order(1) == order(1) and order(1) != order(0)
    assert order(0, seed=2) != order(0)


def test_batches_are_not_in_order_of_length():
    means = np.array([LENGTHS[i] for i in order(0)[:992]]).reshape(-1, 16).mean(1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3
