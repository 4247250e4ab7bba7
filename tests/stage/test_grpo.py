import pytest

from mllmrec.errors import Refusal
from tests.launching import config, ids


def test_it_stands_on_the_merged_model():
    made = config()
    assert made.stages["grpo"].inputs(made)["model"] is made.stages["merge"]


@pytest.mark.parametrize(
    "word",
    [
        "reward.hit_format.miss=0.0",
        "algorithm=dr_grpo",
        "grpo.beta=0.3",
        "algorithm.epsilon=0.1",
        "algorithm.constraint=sequence",
        "algorithm=exact",
    ],
)
def test_what_it_optimises_is_its_identity_and_nobody_elses(word):
    before, after = ids(), ids(word)
    changed = {label for label in before if before[label] != after[label]}
    assert changed == {"grpo", "rank grpo", "evaluate"}


def test_how_often_it_saves_is_not():
    assert ids("grpo.save_steps=30")["grpo"] == ids()["grpo"]


def test_a_beam_names_each_candidate_once():
    config("algorithm.rollout=beam", "grpo.num_generations=10")
    with pytest.raises(Refusal, match="10 candidates") as refusal:
        config("algorithm.rollout=beam", "grpo.num_generations=11")
    assert "grpo.num_generations=10" in refusal.value.do


@pytest.mark.parametrize("words", [[], ["algorithm.rollout=sample", "algorithm.constraint=token"]])
def test_vllm_writes_free_answers_alone(words):
    with pytest.raises(Refusal, match="not written by vLLM"):
        config("grpo.vllm=true", *words)
    assert config("grpo.vllm=true", "algorithm.rollout=sample").stages["grpo"].vllm
