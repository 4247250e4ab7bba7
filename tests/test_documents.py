"""The commands that documents show are typed as they stand there."""

import re
import shlex

import pytest

from tests.launching import CONF, ROOT, compose_typed

TEXT = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [
    words[2:]
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if (words := shlex.split(line, comments=True))[:2] == ["python", "launch.py"]
]
ROWS = [line for line in TEXT.splitlines() if line.startswith("|")]
OVERRIDES = [
    shlex.split(code)
    for row in ROWS
    for code in re.findall(r"`([^`]*)`", row)
    if re.match(r"dataset\.[\w.]+=", code)
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_of_datasets_compose(words):
    assert compose_typed(*words)


@pytest.mark.parametrize("words", OVERRIDES, ids=" ".join)
def test_overrides_of_tables_are_knobs_of_one(words):
    assert compose_typed("stage=prepare", "dataset=table", *words)


def test_every_dataset_has_its_row_and_its_section():
    for name in (file.stem for file in CONF.glob("dataset/*.yaml")):
        assert any(row.startswith(f"| `{name}`") for row in ROWS), name
        assert f"\n## {name}\n" in TEXT, name
    assert len(COMMANDS) > 8
