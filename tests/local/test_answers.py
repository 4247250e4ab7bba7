"""What is said is what follows the thinking."""

import pytest

from mllmrec.local.answers import spoken


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" a b ", "a b"),
        ("<think>\nhm\n</think>\n\na", "a"),
        ("hm</think>a", "a"),  # the template itself began the thought
        ("<think>\nhm", None),
        ("<think></think>", ""),
        ("say <think> aloud", "say <think> aloud"),
    ],
)
def test_thoughts_are_not_said(text, said):
    assert spoken(text) == said
