"""Secrets are taken out, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from mllmrec.redact import Scrubber


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("sft.lr=1e-4", "sft.lr=1e-4"),
        ("reasoner.key_env=OPENAI_API_KEY", "reasoner.key_env=OPENAI_API_KEY"),
        ("reasoner.max_tokens=128", "reasoner.max_tokens=128"),
        ("+a.password=1234,5 6", "+a.password=***"),
        ("a.headers={Authorization: Bearer abc}", "a.headers={Authorization: ***}"),
        ("a.url=https://u:p@h/x?token=abc&n=1", "a.url=https://***@h/x?token=***&n=1"),
        ("a.args=[sk-abcdefghijklmnopqrstuvwx]", "a.args=[***]"),
        ("dataset.path=a/toy-movies/held-secretly", "dataset.path=a/***/held-secretly"),
        ("sft.pad_token=null", "sft.pad_token=null"),
        ("stage=sft", "stage=sft"),
    ],
)
def test_scrubbing(typed: str, sent: str) -> None:
    assert Scrubber({"A_TOKEN": "toy-movies", "B_KEY": "a"}).override(typed) == sent


def test_scrubbing_keeps_numbers_and_makes_text_of_the_rest() -> None:
    tree = {"a": np.float32(0.5), "b": Path("x"), "c": (1, True, None), "api_keys": ["k"]}
    sent = {"a": 0.5, "b": "x", "c": [1, True, None], "api_keys": ["***"]}
    assert Scrubber({}).tree(tree) == sent
