"""What pydantic finds wrong, in our words."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def describe(fault: Any, prefix: str, kind: type[BaseModel]) -> str:
    """One fault of pydantic's in our words: the knob, its value, what is allowed."""
    knob = (prefix + ".".join(str(part) for part in fault["loc"])).rstrip(".")
    if fault["type"] == "extra_forbidden":
        known = sorted(kind.model_fields)
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}"
        return f"{knob}: unknown knob, {hint}"
    if fault["type"] == "missing":
        return f"{knob}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "list_type":
        message += f", '{knob}=[{fault['input']}]'"
    value = "" if isinstance(fault["input"], Mapping) else f"={fault['input']!r}"
    return f"{knob}{value}: {message[0].lower()}{message[1:]}"
