"""What a server said, taken apart: the text without its thinking, why it ended, what it cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mllmrec.asking import spoken, tokens_of


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One answer of a server; its text is empty where there was none beside the thinking."""

    text: str
    finish_reason: str | None
    tokens_in: int
    tokens_out: int

    def wrong(self) -> str | None:
        """Why this is no whole answer, or None."""
        how = f"(finish_reason={self.finish_reason}, {self.tokens_out} tokens)"
        if not self.text:
            return f"empty answer {how}"
        if self.finish_reason == "length":
            return f"truncated answer {how}"
        if self.finish_reason == "content_filter":
            return f"filtered answer {how}"
        return None


def heard(said: Any, asked: str) -> Heard:
    """The first choice of a chat completion; ``asked`` is the text that it answers.

    Raises:
        ValueError: it is no chat completion.
    """
    try:
        choice = said["choices"][0]
        content = choice["message"].get("content") or ""
        if not isinstance(content, str):  # parts, as some servers send them
            content = "".join(part.get("text") or "" for part in content)
        usage = said.get("usage")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("a response without choices") from error
    reason = choice.get("finish_reason")
    return Heard(
        text=spoken(content) or "",
        finish_reason=None if reason is None else str(reason),
        tokens_in=counted(usage, "prompt_tokens", asked),
        tokens_out=counted(usage, "completion_tokens", content),
    )


def counted(usage: object, name: str, text: str) -> int:
    count = usage.get(name) if isinstance(usage, Mapping) else None
    return count if isinstance(count, int) else tokens_of(text)
