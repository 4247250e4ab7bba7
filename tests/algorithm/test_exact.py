"""The expectation over all candidates; its step is tested in tests/training/."""

from mllmrec.algorithm.advantage.expected import Expected as Advantage
from mllmrec.algorithm.policy.expected import Expected as Policy
from tests.launching import config, ids


def test_what_it_is_made_of():
    found = config("algorithm=exact").algorithm
    assert found.rollout.name == "exhaust" and found.rollout.held == "token"
    assert isinstance(found.policy, Policy) and isinstance(found.advantage, Advantage)
    assert found.advantage.scale == "none"


def test_it_has_no_group_to_choose():
    assert ids("algorithm=exact", "grpo.num_generations=4") == ids("algorithm=exact")
    assert ids("grpo.num_generations=4")["grpo"] != ids()["grpo"]
