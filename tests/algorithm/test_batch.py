"""What a batch can do to its rows, in numbers that can be checked in one's head."""

import math
from dataclasses import replace

import pytest
import torch

from mllmrec.algorithm.batch import joined
from tests.algorithm.batches import ANSWERS, batch


def uneven(**over):
    """a: four rows, one of them it; b: one row; c: two rows, one of them no item."""
    groups = {"a": ["a", "b", "b", "c"], "b": ["d"], "c": ["c", None]}
    rewards = [1.0, 0.0, 0.0, 3.0, 2.0, 5.0, 1.0]
    return batch(groups, rewards=rewards, **over)


def test_numbers_of_groups_of_unequal_size():
    made = uneven()
    assert len(made) == 7
    assert made.groups == [[0, 1, 2, 3], [4], [5, 6]]
    assert made.sizes.tolist() == [4, 1, 2]
    assert made.total(made.rewards).tolist() == [4, 2, 6]
    assert made.mean(made.rewards).tolist() == [1, 2, 3]
    # squares around 1: 0, 1, 1, 4, over 3; one row alone; squares around 3: 4, 4, over 1
    assert made.std(made.rewards).tolist() == pytest.approx([math.sqrt(2), 0, math.sqrt(8)])
    assert made.std(made.rewards)[0] == pytest.approx(made.rewards[:4].std())


def test_a_group_without_rows_has_a_mean_of_zero():
    made = uneven().take([0, 1, 5])
    assert made.groups == [[0, 1], [], [2]]
    assert made.sizes.tolist() == [2, 0, 1]
    assert made.mean(made.rewards).tolist() == [0.5, 0, 5]
    assert made.std(made.rewards).tolist() == pytest.approx([math.sqrt(0.5), 0, 0])


def test_a_row_may_stand_for_several_draws():
    """a: 1, 1, 1 and 5 in two rows: mean 2, squares 3 · 1 + 9 over 3; b: 3 of weight 0.5 alone."""
    made = batch({"a": ["a", "b"], "b": ["c"]}, rewards=[1.0, 5.0, 3.0])
    made = replace(made, multiplicity=torch.tensor([3.0, 1.0, 0.5]))
    assert made.sizes.tolist() == [2, 1]
    assert made.mean(made.rewards).tolist() == [2, 3]
    assert made.std(made.rewards).tolist() == [2, 0]
    assert made.take([2, 0]).multiplicity.tolist() == [0.5, 3]
    assert made.put(0, "c").multiplicity.tolist() == [1, 1, 0.5]
    plain = batch({"c": ["c", "a"]})
    assert joined([made, plain]).counts.tolist() == [3, 1, 0.5, 1, 1]
    assert joined([plain, plain]).multiplicity is None


def test_sums_are_over_tokens():
    made = uneven(sums=[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0])
    assert made.sums.tolist() == [-1, -2, -3, -4, -5, -6, -7]


def test_rows_are_taken_in_the_order_asked_and_as_often():
    made = uneven(chance=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], advantages=[0, 1, 2, 3, 4, 5, 6])
    some = made.take([5, 0, 5])
    assert some.owner.tolist() == [2, 0, 2] and some.groups == [[1], [], [0, 2]]
    assert some.items == ["c", "a", "c"] and some.completions == [ANSWERS[i] for i in "cac"]
    assert some.spans[0] == [("c", 0, 2)]
    assert some.rewards.tolist() == [5, 1, 5] and some.hits.tolist() == [True, True, True]
    assert some.advantages.tolist() == [5, 0, 5]
    assert some.chance.tolist() == pytest.approx([0.6, 0.1, 0.6])
    assert some.mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert some.samples is made.samples and some.charts is made.charts
    assert made.take([0]).chance is not None and uneven().take([0]).chance is None


def test_no_rows_at_all_can_be_taken():
    none = uneven().take([])
    assert len(none) == 0 and none.groups == [[], [], []]
    assert none.mean(none.rewards).tolist() == [0, 0, 0]


def test_an_answer_that_is_put_in_is_paid_and_waits_for_its_score():
    made = batch({"a": ["b", None], "d": ["c", "d"]}, sums=[-1.0, -2.0, -3.0, -4.0])
    before = made.old.clone(), made.mask.clone()
    changed = made.put(1, "a")
    assert changed.items == ["b", "a", "c", "d"] and changed.completions[1] == ANSWERS["a"]
    assert changed.spans[1] == [("a", 0, 3)]
    assert changed.rewards.tolist() == [0, 1, 0, 1]
    assert changed.hits.tolist() == [False, True, False, True]
    assert changed.mask[1].tolist() == [1, 1, 1, 0]
    assert changed.old[1].isnan().tolist() == [True, True, True, False] and changed.old[1, 3] == 0
    assert changed.old[[0, 2, 3]].tolist() == made.old[[0, 2, 3]].tolist()
    assert torch.equal(made.old, before[0]) and torch.equal(made.mask, before[1])
    assert made.items[1] is None and made.rewards.tolist() == [0, 0, 0, 1]


def test_an_answer_that_is_put_in_may_be_longer_than_any_or_shorter():
    made = batch({"d": ["c", "c"], "c": ["c"]}).put(0, "d")
    assert made.mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert made.old[1].tolist() == [-1, 0, 0, 0]
    back = made.put(0, "c")
    assert back.mask[0].tolist() == [1, 1, 0, 0]
    assert back.old[0].isnan().tolist() == [True, True, False, False]
    assert back.rewards.tolist() == [0, 0, 1]


def test_what_is_put_in_is_no_hit_where_it_is_not_the_target():
    made = batch({"d": ["d"]}).put(0, "a")
    assert made.rewards.tolist() == [0] and made.hits.tolist() == [False]


def test_batches_of_other_widths_and_sizes_are_joined():
    one = batch({"c": ["c", None]}, advantages=[1, 2], sums=[-1.0, -2.0])
    two = batch({"d": ["d"], "a": ["b", "a", "c"]}, advantages=[3, 4, 5, 6])
    two.charts["other"] = 1.0
    made = joined([one, two])
    assert [sample.target for sample in made.samples] == ["c", "d", "a"]
    assert made.groups == [[0, 1], [2], [3, 4, 5]]
    assert made.items == ["c", None, "d", "b", "a", "c"]
    assert made.completions == [(4, 9), (0,), (5, 6, 7, 9), (1, 3, 9), (1, 2, 9), (4, 9)]
    assert made.mask.sum(1).tolist() == [2, 1, 4, 3, 3, 2]
    assert made.sums.tolist() == [-1, -2, -1, -1, -1, -1]
    assert made.advantages.tolist() == [1, 2, 3, 4, 5, 6]
    assert made.rewards.tolist() == [1, 0, 1, 0, 1, 0] == made.hits.float().tolist()
    assert [spans[0][0] for spans in made.spans] == made.items
    assert made.charts is one.charts and made.charts == {}


def test_chances_stay_where_all_batches_have_them():
    with_them, without = batch({"c": ["c"]}, chance=[0.5]), batch({"d": ["d"]})
    assert joined([with_them, with_them]).chance.tolist() == [0.5, 0.5]
    assert joined([with_them, without]).chance is None


def test_one_batch_joined_is_itself():
    made = uneven()
    again = joined([made])
    assert again.owner.tolist() == made.owner.tolist() and again.items == made.items


def test_rewards_that_are_all_equal_have_no_spread():
    """In float32 the mean of eight times 0.3 is not 0.3, and a group without signal had one."""
    made = batch({"a": ["b"] * 8, "b": ["a"] * 7}, rewards=[0.3] * 8 + [0.7] * 7)
    assert made.std(made.rewards).tolist() == [0, 0]
    assert (made.rewards - made.mean(made.rewards)[made.owner]).abs().max() == 0
