"""The table of cases of ``mllmrec.reward.in_candidates``."""

import pytest

from mllmrec.reward.in_candidates import InCandidates


@pytest.mark.parametrize(
    ("answer", "pays"),
    [
        ("[ITEM_7]", 1),
        ("[ITEM_7] Seven", 1),
        ("[ITEM_8]", 1),
        ("[ITEM_9]", 0),
        ("[ITEM_7] Eight", 0),
        ("seven", 0),
    ],
)
def test_the_table(answer, pays):
    reward = InCandidates(weight=1.0)
    titles = {"7": "Seven", "8": "Eight", "9": "Nine"}
    assert reward(answer, target="7", candidates=["7", "8"], titles=titles) == pays
