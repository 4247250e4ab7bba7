"""The examples of CONTRIBUTING.md as they stand there, in a copy of the tree."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from mllmrec.jsonschema import schemas
from tests.launching import ROOT, environment

TREE = ("mllmrec", "conf", "hydra_plugins", "sweeps", "tests")
FILES = ("launch.py", "pyproject.toml")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def section(title):
    """The blocks below a heading: files by their path, and commands."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (body,) = re.findall(rf"^## {title}\n(.*?)(?=^## )", text, re.DOTALL | re.MULTILINE)
    files, commands = {}, []
    for kind, block in BLOCK.findall(body):
        if kind == "bash":
            commands += [shlex.split(line, comments=True)[2:] for line in block.splitlines()]
        else:
            first, _, rest = block.partition("\n")
            files[first.removeprefix("# ")] = rest
    return files, commands


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The tree with the files of both examples in it."""
    folder = tmp_path_factory.mktemp("tree")
    skip = shutil.ignore_patterns("__pycache__")
    for name in TREE:
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    for title in ("Add a reward", "Add a method"):
        for path, text in section(title)[0].items():
            assert not (folder / path).exists(), f"{path} is no example any more"
            (folder / path).write_text(text, encoding="utf-8")
    return folder


def run(folder, *words):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_method_is_one_short_file_and_its_values():
    files, _ = section("Add a method")
    code, values, test = files
    assert code.startswith("mllmrec/algorithm/") and len(files[code].splitlines()) < 40
    assert values.startswith("conf/algorithm/") and test.startswith("tests/algorithm/")


def test_examples_keep_what_they_promise(copied):
    """Their own tests, the styles of the house, and schemas that know of them."""
    files = [path for title in ("reward", "method") for path in section(f"Add a {title}")[0]]
    run(copied, "-m", "pytest", "-q", *(path for path in files if path.startswith("tests/")))
    code = [path for path in files if path.endswith(".py")]
    run(copied, "-m", "ruff", "check", *code)
    run(copied, "-m", "ruff", "format", "--check", *code)


@pytest.mark.parametrize("title", ["Add a reward", "Add a method"])
def test_commands_of_examples_compose(copied, title):
    _, commands = section(title)
    for words in commands:
        assert "plan_only=true" in words
        assert "grpo" in run(copied, "launch.py", *words, "tracking=off")


@pytest.mark.slow
def test_examples_keep_the_rules_of_the_house(copied):
    run(copied, "-m", "mllmrec.jsonschema")
    assert "sapo" not in str(schemas(ROOT / "conf"))
    assert "Sapo" in (copied / "conf" / "schema" / "algorithm.json").read_text(encoding="utf-8")
    rules = ("tests/test_structure.py", "tests/test_jsonschema.py")
    run(copied, "-m", "pytest", "-q", *rules, "-k", "sapo or exact or current or layer or torch")


@pytest.mark.slow
def test_the_method_trains(copied):
    """Two steps on each of a few batches; the second has a ratio other than 1."""
    words = ("experiment=debug", "stage=grpo", "tracking=off", "dataset.poster_size=16")
    more = ("algorithm/policy=sapo", "grpo.num_iterations=2", "grpo.max_steps=4")
    said = run(copied, "launch.py", *words, *more, "grpo.save_steps=2")
    (made,) = (copied / "artifacts" / "toy" / "grpo").glob("*/manifest.json")
    assert '"Sapo"' in made.read_text(encoding="utf-8"), said
