"""Rationales by a local model: which one it is, and what it cannot do."""

import pytest

from mllmrec.errors import Refusal
from tests.local.tiny import KNOBS, write_text_model
from tests.reasoner.asked import WORDS, case, configured, shown, writer


def test_only_what_can_change_a_text_is_its_identity():
    made = writer("reasoner", "transformers")
    knobs = made.knobs()
    assert knobs["model"]["max_new_tokens"] == 512 and "batch_size" not in knobs["model"]
    assert knobs["instruction"] == made.instruction
    assert made.needs_torch


def test_no_model_is_refused_by_the_knob_that_would_name_it(tmp_path):
    made = configured("reasoner", "transformers")
    with pytest.raises(Refusal) as refusal:
        made.write([case(shown("1"))], WORDS, tmp_path / "own.jsonl")
    assert "reasoner.model.path=null" in refusal.value.wrong
    assert "type reasoner.model.path=DIR" in refusal.value.do


def test_a_real_model_of_random_weights_fails_with_its_reason(tmp_path):
    """Nothing stands in for anything: a case in words, tokens, and an answer that is judged."""
    folder = tmp_path / "model"
    write_text_model(folder)
    model = {**KNOBS, "path": str(folder), "max_new_tokens": 3, "retry_tokens": 4}
    made = configured("reasoner", "transformers", model=model)
    (reply,) = made.write([case(shown("1"))], WORDS, tmp_path / "own.jsonl")
    assert (reply.id, reply.text, reply.why) == ("s1", None, "did not end within 4 tokens")
    assert (tmp_path / "own.jsonl").exists()
