"""ReRe's ranking reward in numbers: 1 / log2(ρ + 2) is 1, .631, .5, .431."""

from math import log2

import pytest

from mllmrec.algorithm.group_reward.rank import Rank
from tests.algorithm.batches import batch

RANK = Rank(weight=1.0, zero_if_no_hit=True)
DISCOUNTS = [1, 1 / log2(3), 1 / 2, 1 / log2(5)]


def paid(made, **over):
    return RANK.model_copy(update=over)(made).tolist()


def test_the_example_of_the_docstring():
    made = batch({"b": ["a", "b", "c", "d"]}, sums=[-1.0, -2.0, -3.0, -4.0])
    assert paid(made) == pytest.approx([-0.390, 0, -0.195, -0.168], abs=5e-4)
    assert paid(made) == pytest.approx(
        [-x / sum(DISCOUNTS) if n != 1 else 0 for n, x in enumerate(DISCOUNTS)]
    )


def test_the_order_is_that_of_probability_not_of_arrival():
    """d is the most probable, then b, the target; c and a follow."""
    made = batch({"b": ["a", "b", "c", "d"]}, sums=[-4.0, -2.0, -3.0, -1.0])
    assert paid(made) == pytest.approx([-0.168, 0, -0.195, -0.390], abs=5e-4)


def test_a_group_without_the_target_pays_nothing_or_by_rank():
    made = batch({"b": ["a", "c"], "c": ["c", "a"]}, sums=[-2.0, -1.0, -2.0, -1.0])
    first = 1 / (1 + 1 / log2(3))  # .613, and .387 for the second
    assert paid(made) == pytest.approx([0, 0, 0, -first])
    assert paid(made, zero_if_no_hit=False) == pytest.approx([-(1 - first), -first, 0, -first])


def test_what_is_equal_goes_by_its_tokens():
    """a (1, 2, 9) comes before b (1, 3, 9), whichever arrived first."""
    one = batch({"c": ["b", "a", "c"]}, sums=[-1.0, -1.0, -2.0])
    two = batch({"c": ["a", "b", "c"]}, sums=[-1.0, -1.0, -2.0])
    total = sum(DISCOUNTS[:3])
    assert paid(one) == pytest.approx([-DISCOUNTS[1] / total, -1 / total, 0])
    assert paid(two) == pytest.approx([-1 / total, -DISCOUNTS[1] / total, 0])


def test_repeats_share_a_rank_and_weights_sum_to_one():
    """a, a at rank 0, b at rank 1, the target at rank 2: 1 + 1 + .631 + .5 = 3.131."""
    made = batch({"c": ["a", "b", "a", "c"]}, sums=[-1.0, -2.0, -1.0, -3.0])
    assert paid(made) == pytest.approx([-0.319, -0.202, -0.319, 0], abs=5e-4)


def test_groups_of_unequal_size_are_ranked_by_themselves():
    made = batch({"c": ["c", "a", "b"], "d": ["d"]}, sums=[-3.0, -1.0, -2.0, -9.0])
    total = sum(DISCOUNTS[:3])
    assert paid(made) == pytest.approx([0, -1 / total, -DISCOUNTS[1] / total, 0])


def test_a_text_that_names_no_item_is_as_wrong_as_any():
    made = batch({"c": ["c", None]}, sums=[-2.0, -1.0])
    assert paid(made) == pytest.approx([0, -1 / (1 + 1 / log2(3))])
