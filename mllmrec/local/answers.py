"""What a model on this machine wrote: read, and judged."""

from dataclasses import dataclass

from mllmrec.asking import Fault


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model wrote; ``is_cut`` where it did not end; ``why`` it could not be asked."""

    text: str = ""
    is_cut: bool = False
    why: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0


def why_not(answer: Answer, room: int, fault: Fault) -> str | None:
    """Why an answer will not do, or None."""
    if answer.why is not None:
        return answer.why
    if answer.is_cut:
        return f"did not end within {room} tokens"
    return fault(answer.text) if answer.text else "is empty"
