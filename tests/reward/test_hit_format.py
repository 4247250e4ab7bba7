"""The table of cases of ``mllmrec.reward.hit_format``."""

import pytest

from mllmrec.reward.hit_format import HitFormat


@pytest.mark.parametrize(
    ("answer", "pays"),
    [
        ("[ITEM_7]", 1),
        ("[ITEM_7] Seven", 1),
        ("[ITEM_8]", 0.3),
        ("[ITEM_9]", -1),
        ("[ITEM_7] Eight", -1),
        ("seven", -1),
    ],
)
def test_the_table(answer, pays):
    reward = HitFormat(weight=1.0, hit=1.0, miss=0.3, malformed=-1.0, outside=-1.0)
    titles = {"7": "Seven", "8": "Eight", "9": "Nine"}
    assert reward(answer, target="7", candidates=["7", "8"], titles=titles) == pays


def test_each_number_is_a_knob():
    reward = HitFormat(weight=1.0, hit=4.0, miss=3.0, malformed=2.0, outside=1.0)
    texts = ["[ITEM_7]", "[ITEM_8]", "?", "[ITEM_9]"]
    pays = [reward(text, target="7", candidates=["7", "8"], titles={}) for text in texts]
    assert pays == [4.0, 3.0, 2.0, 1.0]
