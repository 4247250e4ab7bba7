"""The drawing itself is tested beside the trainer, in tests/training/test_rollouts.py."""

import pytest

from mllmrec.errors import Refusal
from tests.launching import config

SAMPLE = "algorithm/rollout=sample"


def test_only_held_to_the_candidates_its_reward_is_of_draws_among_them():
    free = config(SAMPLE, "algorithm.rollout.top_p=0.9").algorithm
    held = config(SAMPLE, "algorithm.rollout.constraint=token").algorithm
    assert (free.rollout.held, free.rollout.draws_candidates) == (None, False)
    assert (held.rollout.held, held.rollout.draws_candidates) == ("token", True)
    told = free.trainer_args(vllm=False)
    assert (told["top_p"], told["temperature"], told["top_k"]) == (0.9, 1.0, 0)


def test_whole_answers_cannot_be_drawn_token_by_token():
    with pytest.raises(Refusal, match="constraint"):
        config(SAMPLE, "algorithm.rollout.constraint=sequence")
