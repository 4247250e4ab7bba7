"""Captions by a model on this machine: its identity, its refusal, and a real one that sees."""

import pytest

from mllmrec.captioner.base import Pictured
from mllmrec.errors import Refusal
from tests.captioner.asked import captioner, configured
from tests.local.tiny import KNOBS, write_qwen3_vl


def test_only_what_can_change_a_caption_is_its_identity():
    made = captioner("transformers")
    knobs = made.knobs()
    assert knobs["model"]["picture_size"] == 448 and "batch_size" not in knobs["model"]
    assert (knobs["instruction"], knobs["words"]) == (made.instruction, 50)
    assert made.needs_torch


def test_no_model_is_refused_by_the_knob_that_would_name_it(pictures, tmp_path):
    made = configured("captioner", "transformers")
    with pytest.raises(Refusal) as refusal:
        made.write([Pictured(item_id="a", title="", picture=pictures[0])], tmp_path / "j")
    assert "captioner.model.path=null" in refusal.value.wrong
    assert "type captioner.model.path=DIR" in refusal.value.do


def test_a_real_model_of_random_weights_looks_at_each_picture(pictures, tmp_path):
    folder = tmp_path / "model"
    write_qwen3_vl(folder)
    model = {**KNOBS, "path": str(folder), "max_new_tokens": 3, "retry_tokens": 4}
    made = configured("captioner", "transformers", model=model)
    items = [Pictured(item_id=path.stem, title="A", picture=path) for path in pictures]
    replies = made.write(items, tmp_path / "own.jsonl")
    assert [reply.id for reply in replies] == ["red", "green", "blue"]
    assert all((reply.text is None) != (reply.why is None) for reply in replies)
    assert (tmp_path / "own.jsonl").exists()
