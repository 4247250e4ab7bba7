"""Sweeps' files for tests."""

from pathlib import Path
from typing import Any

import yaml

START = ["${env}", "${interpreter}", "${program}"]
END = ["${args_no_hyphens}"]


def tree(*words: str, **more: Any) -> dict[str, Any]:
    """A sweep over prepare.history_length, which trains nothing, but for what is given."""
    given = {
        "program": "launch.py",
        "command": [*START, *(words or ("stage=prepare", "tracking=online")), *END],
        "method": "grid",
        "metric": {"name": "prepare/oracle/uni9/ndcg@5", "goal": "maximize"},
        "parameters": {"prepare.history_length": {"values": [3, 5]}},
    }
    return {name: value for name, value in {**given, **more}.items() if value is not None}


def write(path: Path, *words: str, question: str = "Does it work?", **more: Any) -> Path:
    path.write_text(f"# {question}\n" + yaml.safe_dump(tree(*words, **more)), encoding="utf-8")
    return path
