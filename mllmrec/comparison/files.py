"""A comparison as files: a table for spreadsheets and programs, and all of it as JSON."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = {"page": "compare.html", "table": "compare.csv", "data": "compare.json"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet's begin with
OF_A_RUN = ("name", "state", "folder", "id", "url", "group", "began", "command")
OF_COSTS = ("seconds", "built_seconds", "tokens", "memory", "gpu_memory")

DIFFERENCES = {
    "diff": "difference",
    "low": "difference low",
    "high": "difference high",
    "p": "p",
    "holm": "p (Holm)",
}


def columns(data: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A column a name and a row a run: what it is, knobs, costs, values, differences."""
    found: dict[str, list[Any]] = {name: [run[name] for run in data["runs"]] for name in OF_A_RUN}
    found |= {knob["name"]: knob["values"] for knob in data["knobs"]}
    found |= {name: data["costs"][name] for name in OF_COSTS}
    for key, values in data["values"].items():
        found |= {key: values["mean"]}
        found |= {f"{key} {name}": values[name] for name in ("low", "high", "n")}
        for name, numbers in data["tests"].get(key, {}).items():
            found[f"{key} {DIFFERENCES[name]}"] = numbers
    return found


def write_csv(data: Mapping[str, Any], path: Path) -> None:
    """Write the runs as a table; what is not known is an empty cell.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    table = columns(data)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([as_text(name) for name in table])
        for row in zip(*table.values(), strict=True):
            rows.writerow([as_text(cell) for cell in row])


def as_text(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def write_data(data: Mapping[str, Any], path: Path) -> None:
    """Write all that is told, each number once."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    path.write_text(text, encoding="utf-8")
