import pytest

from mllmrec.algorithm.rollout.beam import Beam
from mllmrec.errors import Refusal
from tests.launching import compose_typed, config

KNOBS = {"constraint": None, "temperature": 1.0, "logprob_space": "full"}


def test_beams_are_held_by_token_and_are_no_draws():
    beam = Beam.model_validate(KNOBS)
    assert beam.name == "beam" and beam.held == "token" and not beam.draws_candidates
    assert beam.knobs() == {**Beam.model_validate({**KNOBS, "constraint": "token"}).knobs()}


def test_a_temperature_is_refused_with_its_reason():
    with pytest.raises(Refusal, match=r"temperature=0\.9: beams are the most probable") as no:
        config("algorithm=rere", "algorithm.rollout.temperature=0.9")
    assert "algorithm/rollout=sample" in str(no.value)


@pytest.mark.parametrize("knob", ["constraint=sequence", "logprob_space=some"])
def test_other_values_are_refused(knob):
    with pytest.raises(Refusal, match=f"rollout.{knob.partition('=')[0]}"):
        config("algorithm=rere", f"algorithm.rollout.{knob}")


def test_it_takes_the_place_of_another_rollout():
    rollout = compose_typed(
        "algorithm/rollout=beam", "algorithm.rollout.logprob_space=constrained"
    ).algorithm.rollout
    assert isinstance(rollout, Beam) and rollout.logprob_space == "constrained"


def test_rere_is_beams_paid_by_rank():
    made = config("algorithm=rere").algorithm
    assert [*made.parts] == [
        *("rollout", "group_reward.rank", "advantage", "token_weight", "kl", "policy")
    ]
    assert made.rollout.name == "beam" and made.policy.averaging == "sequence"


def test_rl_plus_centres_by_group_and_divides_by_constants():
    made = config("algorithm=rl_plus").algorithm
    assert [*made.auxiliary] == ["gold"] and made.auxiliary["gold"].normalise_by == "constant"
    assert (made.advantage.center, made.advantage.scale) == ("group", "none")
    assert made.policy.averaging == "constant"


def test_shuffle_r1_prunes_first_and_shuffles_then():
    assert [*config("algorithm=shuffle_r1").algorithm.rebatch] == ["pairs", "shuffle"]
