import pytest

from mllmrec.errors import Refusal
from tests.launching import config, ids


def test_what_an_adapter_may_move_does_not_touch_the_backbone():
    before, after = ids(), ids("backbone.lora_targets=[q_proj]")
    assert before["pretrain"] == after["pretrain"] and before["sft"] != after["sft"]


def test_its_shape_is_its_identity():
    assert ids("backbone.layers=3")["pretrain"] != ids()["pretrain"]


def test_the_words_of_prompts_are_read_by_it_and_not_by_prepare():
    before, after = ids(), ids("dataset.noun=film")
    assert before["prepare"] == after["prepare"] and before["pretrain"] != after["pretrain"]


def test_a_backbone_that_exists_is_not_pretrained():
    with pytest.raises(Refusal, match="this backbone exists already") as refusal:
        ids("stage=pretrain", "backbone=qwen3_0_6b")
    assert "backbone=tiny" in refusal.value.do
    assert config("stage=sft", "backbone=qwen3_0_6b").top.goal == "sft"
