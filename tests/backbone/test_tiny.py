"""The tiny backbone is built by the chain; its sizes have bounds."""

import pytest

from mllmrec.errors import Refusal
from mllmrec.stage.pretrain import backbone_of
from tests.launching import config


def test_it_is_built_by_pretrain():
    tiny = config("stage=sft")
    assert tiny.backbone.is_built
    assert backbone_of(tiny) == {"model": tiny.stages["pretrain"]}


@pytest.mark.parametrize("word", ["backbone.layers=0", "backbone.vocab_size=299"])
def test_sizes_out_of_range_are_refused(word):
    with pytest.raises(Refusal, match=word.replace(".", r"\.")):
        config("stage=prepare", word)
