"""Knobs of every backbone, as the files of conf/ set them."""

import pytest

from mllmrec.errors import Refusal
from tests.launching import config


def test_all_linear_or_a_list_of_names():
    assert config("stage=prepare").backbone.lora_targets == "all-linear"
    named = config("stage=prepare", "backbone.lora_targets=[q_proj]").backbone
    assert named.lora_targets == ["q_proj"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("backbone.dtype=float16", "backbone.dtype='float16'"),
        ("backbone.lora_targets=some", "backbone.lora_targets"),
    ],
)
def test_values_that_do_not_exist_are_refused(word, said):
    with pytest.raises(Refusal) as refusal:
        config("stage=prepare", word)
    assert said in refusal.value.wrong
