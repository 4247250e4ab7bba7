"""The loss itself is tested beside the trainer, in tests/training/test_rollouts.py."""

from tests.launching import config, ids


def test_it_has_no_group_to_choose():
    rollout = config("algorithm=exact").algorithm.rollout
    assert (rollout.name, rollout.held, rollout.draws_candidates) == ("exhaust", "token", False)
    assert ids("algorithm=exact", "grpo.num_generations=4") == ids("algorithm=exact")
    assert ids("grpo.num_generations=4")["grpo"] != ids()["grpo"]
