"""What ranks share out and gather, as one of several sees it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmrec import ranks
from mllmrec.ranks import Here

SIZES = st.lists(st.integers(min_value=1, max_value=500), max_size=30)


@pytest.fixture
def as_rank(monkeypatch):
    def set(rank, count, sharding=None):
        monkeypatch.setattr(ranks, "_here", Here(rank=rank, count=count, sharding=sharding))

    return set


def test_the_largest_goes_first_to_who_has_least(as_rank):
    as_rank(0, 2)
    assert ranks.shares([5, 3, 3, 1]) == [[0, 3], [1, 2]]  # 5 | 3, 3 and then 1 to the 5
    assert ranks.shares([]) == [[], []]


@given(sizes=SIZES, count=st.integers(min_value=1, max_value=5))
def test_shares_are_a_partition_about_equal_in_size(sizes, count):
    before, ranks._here = ranks._here, Here(rank=0, count=count)
    try:
        shares = ranks.shares(sizes)
    finally:
        ranks._here = before
    assert sorted(i for share in shares for i in share) == list(range(len(sizes)))
    totals = [sum(sizes[i] for i in share) for share in shares]
    assert max(totals) - min(totals) <= max(sizes, default=0)


def test_in_each_round_every_rank_has_a_batch_as_one_process_has_it(as_rank):
    batches = [["a", "b"], ["c"], ["d"]]
    as_rank(0, 2)
    assert [mine for mine, _ in ranks.rounds(batches)] == [["a", "b"], ["d"]]
    as_rank(1, 2)
    found = list(ranks.rounds(batches))
    assert [mine for mine, _ in found] == [["c"], ["d"]]  # the last one repeats what is there
    assert [together for _, together in found] == [[["a", "b"], ["c"]], [["d"]]]


def test_one_process_takes_all_in_order_and_waits_for_nobody():
    assert list(ranks.rounds(iter([[1], [2]]))) == [([1], [[1]]), ([2], [[2]])]
    assert ranks.merged({"a": 1}) == {"a": 1} and ranks.gathered(3) == [3]
    assert ranks.parts([3, 1, 2], lambda sizes: [[i] for i in range(len(sizes))]) == [
        ([0], True),
        ([1], True),
        ([2], True),
    ]


def test_where_weights_are_sharded_all_go_forward_equally_often(as_rank):
    """Three rows of 9, 4 and 4 tokens, one a part: rank 0 has one part, rank 1 has two."""

    def cut(sizes):
        return [[i] for i in range(len(sizes))]

    as_rank(0, 2)
    assert ranks.parts([9, 4, 4], cut) == [([0], True)]
    as_rank(0, 2, sharding="fsdp")
    assert ranks.parts([9, 4, 4], cut) == [([0], True), ([1], False)]
    as_rank(1, 2, sharding="fsdp")
    assert ranks.parts([9, 4, 4], cut) == [([1], True), ([2], True)]


def test_buckets_hold_one_type_and_so_many_values(monkeypatch):
    import torch

    monkeypatch.setattr(ranks, "BUCKET", 4)
    a, b, c = torch.zeros(3), torch.zeros(2), torch.zeros(1, dtype=torch.bfloat16)
    big = torch.zeros(9)
    found = ranks.buckets([a, b, c, big])
    assert [[t.numel() for t in run] for run in found] == [[3], [2], [1], [9]]
