from dataclasses import replace
from math import log2

import pytest
import torch

from mllmrec.algorithm.advantage.per_rank import PerRank
from tests.algorithm.batches import batch

HALF = 0.5 / (0.5**0.5 + 1e-4)  # of returns 1 and 0: ½ from their mean, std √½


def lists(target, *named):
    """A group of lists: items of two tokens each."""
    made = batch({target: [None] * len(named)})
    wide = 2 * max(map(len, named))
    return replace(
        made,
        completions=[tuple(range(2 * len(items))) for items in named],
        spans=[[(item, 2 * k, 2 * k + 2) for k, item in enumerate(items)] for items in named],
        mask=torch.tensor([[float(t < 2 * len(items)) for t in range(wide)] for items in named]),
    )


def test_a_hit_counts_at_its_rank():
    # rank 1: returns 1 and 0; rank 2: 0 and 1
    found = PerRank(returns="hit")(lists("a", ["a", "b"], ["c", "a"]))
    up, down = pytest.approx(HALF), pytest.approx(-HALF)
    assert found.tolist() == [[up, up, down, down], [down, down, up, up]]


def test_what_a_list_earns_from_a_rank_on():
    # DCG from rank 1 on: 1 and 1/log2(3); from rank 2 on: 0 and 1/log2(3)
    found = PerRank(returns="dcg")(lists("a", ["a", "b"], ["c", "a"]))
    second = 1 / log2(3)
    apart = (1 - second) / 2
    first = apart / (2**0.5 * apart + 1e-4)
    later = second / 2 / (2**0.5 * second / 2 + 1e-4)
    expected = [[first, first, -later, -later], [-first, -first, later, later]]
    assert found.tolist() == [pytest.approx(row, abs=1e-6) for row in expected]


def test_shorter_lists_have_no_part_in_later_ranks():
    # rank 1 of three lists: 1, 0, 0, mean ⅓, std √⅓; rank 2 of two: 0 and 1; rank 3 of one: 0
    found = PerRank(returns="hit")(lists("a", ["a"], ["b", "a", "c"], ["d", "b"]))
    std = (1 / 3) ** 0.5 + 1e-4
    hit, miss = 2 / 3 / std, -1 / 3 / std
    assert found.tolist() == [
        pytest.approx([hit, hit, 0, 0, 0, 0], abs=1e-6),
        pytest.approx([miss, miss, HALF, HALF, 0, 0], abs=1e-6),
        pytest.approx([miss, miss, -HALF, -HALF, 0, 0], abs=1e-6),
    ]


def test_a_target_named_again_earns_nothing():
    found = PerRank(returns="hit")(lists("a", ["a", "a"], ["a", "b"]))
    assert found.tolist() == [[0.0] * 4] * 2


def test_ranks_of_a_group_are_its_own():
    one, other = lists("a", ["a", "b"], ["c", "a"]), lists("b", ["a", "b"], ["b", "a"])
    both = replace(
        one,
        samples=[*one.samples, *other.samples],
        owner=torch.tensor([0, 0, 1, 1]),
        spans=[*one.spans, *other.spans],
        mask=torch.cat([one.mask, other.mask]),
    )
    part = PerRank(returns="dcg")
    assert torch.equal(part(both), torch.cat([part(one), part(other)]))


def test_an_answer_of_one_item_is_a_list_of_one():
    found = PerRank(returns="dcg")(batch({"c": ["c", "d", None]}))
    std = (1 / 3) ** 0.5 + 1e-4
    hit, miss = 2 / 3 / std, -1 / 3 / std
    assert found.tolist() == [
        pytest.approx([hit, hit, 0, 0]),
        pytest.approx([miss] * 4),
        pytest.approx([miss, 0, 0, 0]),
    ]
