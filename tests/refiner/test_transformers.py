"""Drafts rewritten by a local model: which one it is."""

import pytest

from mllmrec.errors import Refusal
from tests.reasoner.asked import WORDS, case, configured, shown, writer

DRAFT = "Step 1: a"


def test_no_model_is_refused_by_the_knob_that_would_name_it(tmp_path):
    made = configured("refiner", "transformers")
    with pytest.raises(Refusal) as refusal:
        made.write([case(shown("1"))], {"s1": DRAFT}, WORDS, tmp_path / "own.jsonl")
    assert "type refiner.model.path=DIR" in refusal.value.do


def test_only_what_can_change_a_text_is_its_identity():
    assert "batch_size" not in writer("refiner", "transformers").knobs()["model"]
