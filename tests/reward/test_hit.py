"""The table of cases of ``mllmrec.reward.hit``."""

import pytest

from mllmrec.reward.hit import Hit


@pytest.mark.parametrize(
    ("answer", "pays"),
    [
        ("[ITEM_7]", 1),
        ("[ITEM_7] Seven", 1),
        ("[ITEM_8]", 0),
        ("[ITEM_9]", 0),
        ("[ITEM_7] Eight", 0),
        ("seven", 0),
    ],
)
def test_the_table(answer, pays):
    reward = Hit(weight=1.0)
    titles = {"7": "Seven", "8": "Eight", "9": "Nine"}
    assert reward(answer, target="7", candidates=["7", "8"], titles=titles) == pays


def test_a_target_that_was_not_offered_is_no_hit():
    assert Hit(weight=1.0)("[ITEM_7]", target="7", candidates=["8"], titles={}) == 0
