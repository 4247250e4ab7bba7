"""What servers say, taken apart: thinking, parts, counts, and what is no answer."""

from typing import Any

import pytest

from mllmrec.asking import spoken
from mllmrec.endpoint.heard import Heard, heard


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (" plain ", "plain"),
        ("<think>let me see</think>\n\nThey like ships.", "They like ships."),
        ("let me see</think>They like ships.", "They like ships."),
        ("<think>\n\n</think>\n", ""),
        ("<think>still at it", None),
        ("say <think> aloud", "say <think> aloud"),
        ("", ""),
    ],
)
def test_thinking_is_no_text(content: str, text: str | None) -> None:
    assert spoken(content) == text
    assert heard(said(content), "asked").text == (text or "")


def said(content: object, reason: str | None = "stop", **usage: Any) -> dict[str, Any]:
    choice = {"message": {"content": content}, "finish_reason": reason}
    return {"choices": [choice], **({"usage": usage} if usage else {})}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (said("text", completion_tokens=3), None),
        (said(None, completion_tokens=3), "empty answer (finish_reason=stop, 3 tokens)"),
        (said("<think>a", "length", completion_tokens=9), "empty answer (finish_reason=length"),
        (said("and", "length", completion_tokens=9), "truncated answer (finish_reason=length"),
        (said("I", "content_filter", completion_tokens=1), "filtered answer"),
    ],
)
def test_what_is_no_whole_answer_says_why(answer: object, why: str | None) -> None:
    found = heard(answer, "asked").wrong()
    assert found is None if why is None else found is not None and found.startswith(why)


def test_parts_are_put_together_and_missing_counts_estimated() -> None:
    parts = [{"type": "text", "text": "They like "}, {"type": "text", "text": "ships"}]
    assert heard(said(parts), "12345") == Heard(
        text="They like ships", finish_reason="stop", tokens_in=2, tokens_out=4
    )
    counted = heard(said("x", prompt_tokens=7, completion_tokens=1), "12345")
    assert (counted.tokens_in, counted.tokens_out) == (7, 1)


@pytest.mark.parametrize(
    "answer",
    [None, [], "text", {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": None}]}],
)
def test_what_is_no_completion_is_told(answer: object) -> None:
    with pytest.raises(ValueError, match="without choices"):
        heard(answer, "asked")
