"""Take secrets out of what leaves the machine: by the name they go by, their look, their value."""

import numbers
import re
from collections.abc import Mapping
from typing import Any

WORD = r"(?:key|token|secret|password|passwd|pwd|passphrase|credential|authorization)s?"
NAMED = re.compile(rf"(?i){WORD}$")
PAIR = re.compile(
    rf"""(?i)([\w.-]*{WORD})(["']?\s*[=:]\s*)((?:bearer\s+)?(?:"[^"]*"|'[^']*'|[^\s,}}\]&]+))"""
)
TOKEN = re.compile(
    r"\bsk-[\w-]{20,}|\bhf_\w{30,}|\bgh[pousr]_\w{30,}|(?<=://)[^/@\s]+:[^/@\s]+(?=@)"
)
HIDDEN = "***"


class Scrubber:
    """Takes secrets out of what is sent: by the name they go by, by their look, by their value.

    A value is secret if an environment variable named like a key (``*_API_KEY``, ``HF_TOKEN``)
    holds it. The *name* of such a variable (``key_env: OPENAI_API_KEY``) stays, and so do counts
    of tokens.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        held = {v for k, v in environ.items() if NAMED.search(k) and len(v) >= 8}
        self.held = sorted(held, key=len, reverse=True)

    def text(self, text: str) -> str:
        for value in self.held:
            text = text.replace(value, HIDDEN)
        text = PAIR.sub(lambda m: m[1] + m[2] + (m[3] if is_plain(m[1], m[3]) else HIDDEN), text)
        return TOKEN.sub(HIDDEN, text)

    def override(self, text: str) -> str:
        """One ``name=value`` as it was typed; all of the value goes if the name is a secret's."""
        name, equals, value = text.partition("=")
        if equals and NAMED.search(name) and not is_plain(name, value):
            return f"{name}={HIDDEN}"
        return self.text(text)

    def tree(self, value: Any, name: str = "") -> Any:
        """Plain JSON values without secrets; what JSON does not know becomes its text."""
        if isinstance(value, Mapping):
            inside = name if NAMED.search(name) else ""
            return {str(k): self.tree(v, inside or str(k)) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.tree(part, name) for part in value]
        if NAMED.search(name) and not is_plain(name, str(value)):
            return HIDDEN
        if value is None or isinstance(value, bool | int | float):
            return value
        return float(value) if isinstance(value, numbers.Real) else self.text(str(value))


def is_plain(name: str, value: str) -> bool:
    """Whether a value is no secret in spite of its name: a number of tokens, a switch, a null."""
    if value.lower() in {"", "null", "none", "true", "false"}:
        return True
    return bool(re.search(r"(?i)tokens?$", name) and re.fullmatch(r"-?[\d._]+(e-?\d+)?", value))
