"""The target's answer in the place of a group's last row."""

from mllmrec.algorithm.group.add_gold import AddGold
from tests.algorithm.batches import ANSWERS, batch


def test_groups_that_missed_get_it():
    made = batch({"a": ["b", "c"], "c": ["c", "b"], "d": [None]})
    found = AddGold(only_if_missed=True)(made)
    assert found.items == ["b", "a", "c", "b", "d"]
    assert found.completions[4] == ANSWERS["d"]
    assert found.rewards.tolist() == [0, 1, 1, 0, 1]
    assert found.old.isnan().any(1).tolist() == [False, True, False, False, True]
    assert found.charts["group/add_gold/put"] == 2 / 3
    assert made.items == ["b", "c", "c", "b", None]


def test_or_all_groups_but_those_that_end_with_it():
    made = batch({"a": ["b", "c"], "c": ["c", "b"], "d": ["d", "d"]})
    found = AddGold(only_if_missed=False)(made)
    assert found.items == ["b", "a", "c", "c", "d", "d"]
    assert found.old.isnan().any(1).tolist() == [False, True, False, True, False, False]
    assert found.charts["group/add_gold/put"] == 2 / 3


def test_where_all_hit_nothing_changes():
    made = batch({"a": ["a", "c"]})
    found = AddGold(only_if_missed=True)(made)
    assert found is made and found.charts == {"group/add_gold/put": 0}
