"""Vectors of texts, by a model of a few thousand weights."""

import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer

from mllmrec.policy.embedding import embed
from tests.local.tiny import write_text_model


@pytest.fixture
def folder(tmp_path):
    """A token a byte, and room for 2,048 of them, or for as few as its tokenizer says."""

    def build(most=None):
        write_text_model(tmp_path)
        if most:
            made = AutoTokenizer.from_pretrained(tmp_path)
            made.model_max_length = most
            made.save_pretrained(tmp_path)
        return str(tmp_path)

    return build


def test_a_text_is_the_same_vector_whatever_stands_beside_it(folder):
    name = folder()
    alone, beside = embed(name, ["a heart"]), embed(name, ["a heart", "a much longer text" * 3])
    assert alone.shape == (1, 32)
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)


def test_texts_that_are_cut_are_counted(folder, caplog):
    name = folder(most=10)
    short, long = "0123456789", "0123456789 and more"
    vectors = embed(name, [short, long, long])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)  # what was cut is not seen
    assert "2 of 3 texts are longer than the 10 tokens it takes, and were cut" in caplog.text
    caplog.clear()
    embed(name, [short])
    assert "were cut" not in caplog.text


def test_the_limit_of_the_model_counts_where_its_tokenizer_says_none(folder, caplog):
    embed(folder(), ["x" * 2050, "x" * 2048])
    assert "1 of 2 texts are longer than the 2048 tokens" in caplog.text


def test_no_code_of_a_repository_is_run(folder, monkeypatch):
    asked = []
    for kind in (AutoModel, AutoTokenizer):
        real = kind.from_pretrained

        def spy(*args, real=real, **more):
            asked.append(more.get("trust_remote_code"))
            return real(*args, **more)

        monkeypatch.setattr(kind, "from_pretrained", spy)
    embed(folder(), ["a heart"])
    assert asked == [False, False]
