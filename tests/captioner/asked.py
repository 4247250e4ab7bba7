"""Captioners as their files set them, on models that only note what they are asked."""

from typing import Any

from tests.reasoner.asked import ASKED, SAID, configured, spying

__all__ = ["ASKED", "SAID", "captioner", "configured"]
FIELDS = {"transformers": "model", "endpoint": "endpoint"}


def captioner(choice: str, **knobs: Any) -> Any:
    """The captioner of ``conf/captioner/CHOICE.yaml``; what was said and asked is forgotten."""
    ASKED.clear()
    SAID.clear()
    made = configured("captioner", choice, **knobs)
    part = getattr(made, FIELDS[choice])
    spy = spying(type(part)).model_construct(**dict(part))
    SAID.update(dict.fromkeys(("red", "green", "blue", "x"), "a film"))
    return made.model_copy(update={FIELDS[choice]: spy})
