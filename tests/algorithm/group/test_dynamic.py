"""Groups without a signal make room for other prompts."""

import pytest
from pydantic import ValidationError

from mllmrec.algorithm.group.add_gold import AddGold
from mllmrec.algorithm.group.dynamic import Dynamic
from mllmrec.errors import Refusal
from tests.algorithm.batches import batch

HIT, MISS, FULL = ["a", "b"], ["b", "c"], ["d", "d"]


def supply(*rounds):
    """What is drawn, round after round, and the (count, round) that were asked for."""
    asked, left = [], list(rounds)

    def more(count, turn):
        asked.append((count, turn))
        return left.pop(0)

    return more, asked


def told(made):
    return {name.rpartition("/")[2]: value for name, value in made.charts.items()}


def test_where_all_have_a_signal_nothing_is_drawn():
    made = batch({"a": HIT, "b": MISS})  # b is among b, c
    found = Dynamic(max_rounds=2)(made)
    assert found.items == made.items and found.samples == made.samples
    assert told(found) == {
        **{"rounds": 0, "drawn": 2, "dropped": 0, "missing": 0, "no_signal_at_all": 0}
    }


def test_what_is_missing_is_drawn_until_the_step_is_whole():
    """Of 3 prompts 1 stays; 2 are drawn, 1 stays; 1 is drawn and stays: 6 drawn, half dropped."""
    first = batch({"c": ["b", "c", "c"], "d": FULL})
    second = batch({"b": ["a", "b"]})
    more, asked = supply(first, second)
    made = batch({"d": ["a", "b"], "a": HIT, "c": ["c"]}, more=more)
    found = Dynamic(max_rounds=5)(made)
    assert asked == [(2, 1), (1, 2)]
    assert [sample.target for sample in found.samples] == ["a", "c", "b"]
    assert found.groups == [[0, 1], [2, 3, 4], [5, 6]]
    assert found.items == ["a", "b", "b", "c", "c", "a", "b"]
    assert found.charts is made.charts
    assert told(found) == {
        **{"rounds": 2, "drawn": 6, "dropped": 0.5, "missing": 0, "no_signal_at_all": 0}
    }


def test_after_the_last_round_the_step_is_smaller_and_says_so():
    more, asked = supply(batch({"d": FULL}), batch({"d": FULL}))
    found = Dynamic(max_rounds=2)(batch({"a": HIT, "d": FULL}, more=more))
    assert asked == [(1, 1), (1, 2)]
    assert [sample.target for sample in found.samples] == ["a"] and len(found) == 2
    assert told(found)["missing"] == 1 and told(found)["dropped"] == pytest.approx(3 / 4)


def test_without_any_signal_the_step_keeps_its_prompts():
    more, _ = supply(batch({"d": FULL}))
    made = batch({"d": FULL}, more=more)
    found = Dynamic(max_rounds=1)(made)
    assert found.samples == made.samples and found.items == ["d", "d"]
    assert told(found)["no_signal_at_all"] == 1 and told(found)["dropped"] == 1


def test_all_may_come_from_other_rounds():
    more, _ = supply(batch({"b": ["a", "b"]}))
    made = batch({"d": FULL}, more=more)
    found = Dynamic(max_rounds=1)(made)
    assert [sample.target for sample in found.samples] == ["b"]
    assert found.charts is made.charts and told(found)["no_signal_at_all"] == 0


def test_no_more_prompts_come_in_than_are_missing():
    more, _ = supply(batch({"b": ["a", "b"], "c": ["c", "a"]}))
    found = Dynamic(max_rounds=3)(batch({"a": HIT, "d": FULL}, more=more))
    assert [sample.target for sample in found.samples] == ["a", "b"]
    assert told(found)["missing"] == 0


def test_any_difference_of_rewards_is_a_signal():
    made = batch({"d": ["a", "b"], "c": ["c"]}, rewards=[0.0, 0.3, 1.0], more=supply()[0])
    with pytest.raises(IndexError):  # c has one row, so another is asked for
        Dynamic(max_rounds=1)(made)


def test_it_is_the_first_of_the_group_parts():
    from types import SimpleNamespace

    dynamic, gold = Dynamic(max_rounds=1), AddGold(only_if_missed=True)

    def config(**parts):
        return SimpleNamespace(algorithm=SimpleNamespace(group=parts))

    dynamic.check(config(dynamic=dynamic, add_gold=gold))
    with pytest.raises(Refusal, match="have not gone through add_gold") as refusal:
        dynamic.check(config(add_gold=gold, dynamic=dynamic))
    assert refusal.value.do == "type 'algorithm/group=[dynamic,add_gold]'"


def test_a_round_at_least():
    with pytest.raises(ValidationError):
        Dynamic(max_rounds=0)
