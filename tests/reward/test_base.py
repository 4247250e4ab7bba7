"""What every reward has: a weight, and no other knob unless it declares one."""

import pytest

from mllmrec.reward.hit import Hit


def test_a_misspelt_knob_is_refused():
    with pytest.raises(ValueError, match="wieght"):
        Hit.model_validate({"wieght": 1.0})
