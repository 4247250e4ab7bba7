import numpy as np
import pytest

from mllmrec.training.batching import LengthSampler, parts, steps_reading

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


@pytest.mark.parametrize("budget", [1, 99, 500, 2000, 10**6])
def test_parts_are_within_the_budget_unless_one_row_alone_is_above_it(budget):
    lengths = LENGTHS[:50]
    found = parts(lengths, budget)
    assert sorted(row for part in found for row in part) == list(range(50))
    for part in found:
        assert len(part) == 1 or len(part) * max(lengths[row] for row in part) <= budget
    in_order = [lengths[row] for part in found for row in part]
    assert in_order == sorted(lengths)  # like lengths together
    assert len(found) == {1: 50, 10**6: 1}.get(budget, len(found))


def test_rows_of_one_part_keep_the_order_of_a_sorted_batch():
    assert parts([5, 5, 6, 9], 36) == [[0, 1, 2, 3]]
    assert parts([9, 5, 6, 5], 15) == [[1, 3], [2], [0]]  # 3 × 6 are above it


def test_the_fewest_steps_that_read_so_many_tokens():
    """Four rows of ten tokens, two a step: 20 a step, epoch after epoch."""
    rows = LengthSampler([10] * 4, 2, 1)
    asked = (0, 1, 20, 21, 40, 41, 100, 101)
    assert [steps_reading(n, rows) for n in asked] == [1, 1, 1, 2, 2, 3, 5, 6]


def test_steps_read_what_the_trainers_order_has():
    """The last batch of an epoch is not full, and its rows are as long as they are."""
    rows = LengthSampler(LENGTHS, 16, 1)
    epoch = [sum(LENGTHS[i] for i in order(0)[n : n + 16]) for n in range(0, 1003, 16)]
    following = sum(LENGTHS[i] for i in order(1)[:16])
    assert steps_reading(sum(epoch[:9]), rows) == 9 == steps_reading(sum(epoch[:8]) + 1, rows)
    assert steps_reading(sum(epoch), rows) == 63
    assert steps_reading(sum(epoch) + following, rows) == 64
    assert steps_reading(sum(epoch) + following + 1, rows) == 65
