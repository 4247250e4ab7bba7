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
        "algorithm.policy.epsilon=0.1",
        "algorithm.rollout.constraint=sequence",
        "algorithm=exact",
    ],
)
def test_what_it_optimises_is_its_identity_and_nobody_elses(word):
    before, after = ids(), ids(word)
    changed = {label for label in before if before[label] != after[label]}
    assert changed == {"grpo", "rank grpo", "evaluate"}


def test_the_constraint_that_a_rollout_has_anyway_is_none_of_its_own():
    assert ids("algorithm.rollout.constraint=token") == ids()


def test_how_often_it_saves_is_not():
    assert ids("grpo.save_steps=30")["grpo"] == ids()["grpo"]


@pytest.mark.parametrize("protocol", ["uni9", "hard9"])
def test_a_beam_names_each_candidate_once(protocol):
    words = ("algorithm/rollout=beam", f"prepare.train_protocol={protocol}")
    config(*words, "grpo.num_generations=10")
    with pytest.raises(Refusal, match="10 candidates") as refusal:
        config(*words, "grpo.num_generations=11")
    assert "grpo.num_generations=10" in refusal.value.do


@pytest.mark.parametrize(
    "words", [[], ["algorithm/rollout=sample", "algorithm.rollout.constraint=token"]]
)
def test_vllm_writes_free_answers_alone(words):
    with pytest.raises(Refusal, match="not written by vLLM"):
        config("grpo.vllm=true", *words)
    words = ("grpo.vllm=true", "algorithm/rollout=sample", "grpo.lora.item_rows=false")
    assert config(*words).stages["grpo"].vllm


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+grpo.trainer_args.entropy_coef=0.1"], "entropy_coef would have no effect"),
        (["+grpo.trainer_args.min_p=0.1"], "min_p would have no effect"),
        (["+grpo.trainer_args.delta=1.5"], "delta: it would have no effect"),
        (["+grpo.trainer_args.loss_type=dapo"], "loss_type: it would have no effect"),
        (["+grpo.trainer_args.beta=0.9"], "beta would be told twice.*type grpo.beta=VALUE"),
        (["+grpo.trainer_args.num_generations=4"], "num_generations would be told twice"),
        (["grpo.num_iterations=2"], "save_steps=15: a generation is used for 2"),
        (["grpo.lora.dropout=0.1"], "trains without dropout"),
        (["grpo.vllm=true", "algorithm/rollout=sample"], "the embeddings of item tokens"),
    ],
)
def test_what_the_trainer_would_not_heed_is_refused(words, said):
    with pytest.raises(Refusal, match=said):
        config(*words)


def test_what_it_heeds_is_not():
    words = ("grpo.num_iterations=2", "grpo.save_steps=30")
    config(*words, "+grpo.trainer_args.adam_epsilon=1.0e-7")


def test_a_machine_without_vllm_is_told(monkeypatch):
    from mllmrec.training.grpo import check_vllm

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(Refusal, match="a CUDA device is not here"):
        check_vllm()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("mllmrec.training.grpo.find_spec", lambda name: None)
    with pytest.raises(Refusal, match="the package vllm is not here"):
        check_vllm()
