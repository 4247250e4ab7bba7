"""An asker with the knobs that tests want: quick, and of no price."""

from typing import Any

from mllmrec.asking import Request
from mllmrec.endpoint.server import Server

KNOBS: dict[str, Any] = {
    "model": "tiny",
    "key_env": None,
    "temperature": 0.0,
    "max_tokens": 16,
    "retry_tokens": 64,
    "room_field": "max_tokens",
    "concurrency": 8,
    "timeout": 0.5,
    "deadline": 60.0,
    "retries": 8,
    "budget": {"max_usd": None, "max_tokens": None},
    "price": {"input": None, "output": None},
    "picture_size": 64,
    "extra": {},
}


def asker(url: str | None, **changes: Any) -> Server:
    return Server.model_validate({**KNOBS, "url": url, **changes})


def asked(count: int) -> list[Request]:
    return [Request(id=f"r{n}", text=f"question {n}") for n in range(count)]


def fine(text: str) -> str | None:
    """The fault of a writer that takes any text."""
    return None
