import pytest

from mllmrec.errors import Refusal
from tests.launching import config, ids


def test_it_stands_on_rationales_only_where_some_sample_carries_one():
    for words, expected in (
        *(((), True), (("cot_prob=0",), False), (("cot_prob=0", "sft.cot_prob=0.1"), True)),
        *((("prompt.inject=none",), False), (("prompt.inject=completion",), True)),
    ):
        typed = ("algorithm.rollout=sample", "algorithm.constraint=null")
        made = config(*words, *typed, "grpo.max_completion_length=90")
        assert ("rationales" in made.stages["sft"].inputs(made)) is expected


def test_the_rationales_of_grpo_do_not_touch_sft():
    assert ids("grpo.cot_prob=0.2")["sft"] == ids()["sft"]
    assert ids("grpo.cot_prob=0.2")["grpo"] != ids()["grpo"]


def test_the_control_follows_the_steps_of_grpo_but_not_its_beta():
    assert ids("grpo.beta=0.3")["sft_continued"] == ids()["sft_continued"]
    assert config("grpo.max_steps=7").stages["sft_continued"].max_steps == 7
    assert ids("grpo.max_steps=7")["sft_continued"] != ids()["sft_continued"]


def test_another_history_loss_is_another_model():
    assert ids("sft.history_loss=0.5")["sft"] != ids()["sft"]


def test_what_the_trainer_would_not_heed_is_refused():
    with pytest.raises(Refusal, match="packing would have no effect"):
        config("+sft.trainer_args.packing=true")
