"""Several rewards are one number, and each stays visible."""

import pytest

from mllmrec.reward.base import combine
from mllmrec.reward.hit import Hit
from mllmrec.reward.in_candidates import InCandidates


def test_the_sum_is_weighted_and_the_parts_are_not():
    rewards = {"hit": Hit(weight=2.0), "in_candidates": InCandidates(weight=0.5)}
    asked = {"target": "7", "candidates": ["7", "8"], "titles": {}}
    assert combine(rewards, "[ITEM_7]", **asked) == (2.5, {"hit": 1.0, "in_candidates": 1.0})
    assert combine(rewards, "[ITEM_8]", **asked) == (0.5, {"hit": 0.0, "in_candidates": 1.0})
    assert combine(rewards, "nothing", **asked) == (0.0, {"hit": 0.0, "in_candidates": 0.0})


def test_a_misspelt_knob_is_refused():
    with pytest.raises(ValueError, match="wieght"):
        Hit.model_validate({"wieght": 1.0})
