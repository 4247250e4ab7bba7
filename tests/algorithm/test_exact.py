"""The loss itself is tested beside the trainer, in tests/training/test_rollouts.py."""

import pytest

from mllmrec.errors import Refusal
from tests.launching import config, ids


def test_it_has_no_group_to_choose():
    assert ids("algorithm=exact", "grpo.num_generations=4") == ids("algorithm=exact")
    assert ids("grpo.num_generations=4")["grpo"] != ids()["grpo"]


def test_knobs_of_drawing_are_none_of_its_own():
    with pytest.raises(Refusal, match="epsilon: unknown knob"):
        config("algorithm=exact", "+algorithm.epsilon=0.1")
    with pytest.raises(Refusal, match="scale_rewards"):
        config("algorithm=exact", "algorithm.scale_rewards=batch")
