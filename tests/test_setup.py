"""The packaging's promises: versions only, every import declared, and an environment made once."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import mllmrec

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Not in constraints.txt: what only some machines can install.
ELSEWHERE = {"gpu", "modelscope"}


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def requirements(*, extras: set[str]) -> list[Requirement]:
    texts = PROJECT["dependencies"] + [text for extra in extras for text in EXTRAS[extra]]
    return [one for one in map(Requirement, texts) if one.name != "mllmrec"]


def test_constraints_are_versions_only() -> None:
    body = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    odd = [line for line in body if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    assert not odd, f"one name==version a line, no address, no +local part: {odd}"
    assert "torchvision" not in constraints()


def test_each_requirement_has_a_constraint_within_its_range() -> None:
    fixed = constraints()
    for one in requirements(extras=set(EXTRAS) - ELSEWHERE):
        name = canonicalize_name(one.name)
        assert name in fixed, f"{one} has no line in constraints.txt: run make constraints"
        assert one.specifier.contains(fixed[name], prereleases=True), f"{one} against {fixed[name]}"


def test_each_third_party_import_is_declared() -> None:
    """``tests`` and ``bench`` may use the dev extra; the library only what it declares itself."""
    owners = packages_distributions()
    library = {canonicalize_name(one.name) for one in requirements(extras=set(EXTRAS) - {"dev"})}
    everything = library | {canonicalize_name(one.name) for one in requirements(extras={"dev"})}
    own = {"mllmrec", "launch", "tests", "bench"}
    # These run in an environment of their own, with what cannot be installed beside the rest.
    apart = {ROOT / "bench" / "_rectools.py", ROOT / "tests" / "sweep" / "record.py"}
    for folder, allowed in [("mllmrec", library), ("tests", everything), ("bench", everything)]:
        for file in sorted(set((ROOT / folder).rglob("*.py")) - apart):
            siblings = {other.stem for other in file.parent.glob("*.py")}
            for name in _imported(file) - own - siblings - sys.stdlib_module_names:
                distributions = {canonicalize_name(one) for one in owners.get(name, [name])}
                assert distributions & allowed, (
                    f"{file.relative_to(ROOT)} imports {name}, which pyproject.toml does not name"
                )


def _imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_version_and_the_pythons_are_told_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == mllmrec.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert all({"title", "authors"} <= one.keys() for one in citation["references"])

    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(8, 20) if f"3.{minor}" in allowed] == [11, 12, 13]
    makefile = (ROOT / "Makefile").read_text()
    assert "(3, 11) <= sys.version_info < (3, 14)" in makefile
    assert "python3 python3.11 python3.12 python3.13 python" in makefile


# The Makefile's `venv`, for real but for pip and `-m venv`, which a small script plays.

PLAYED = """\
#!/bin/sh
case "$*" in
    "-m venv "*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo venv >> calls;;
    "-m pip install "*) echo "pip $4" >> calls; [ ! -e pip-fails ]; ok=$?; sleep 0.3; exit $ok;;
    *ensurepip*) [ ! -e no-venv-module ] && echo "$PWD/{name}";;
    *sys.version_info*) echo {version};;
    launch.py*) echo "launched $*";;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the real Makefile and two played Pythons."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    for name, version in [("py311", "3.11"), ("py312", "3.12")]:
        (tmp_path / name).write_text(PLAYED.format(name=name, version=version))
        (tmp_path / name).chmod(0o755)
    return tmp_path


def make(folder: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run make; return what it said and the calls to pip and venv that it made."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", *args], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    calls = folder / "calls"
    made = calls.read_text().split("\n")[:-1] if calls.exists() else []
    calls.unlink(missing_ok=True)
    return done, [call.split()[0] for call in made]


def test_the_environment_is_made_once_and_then_reused(checkout: Path) -> None:
    done, calls = make(checkout, "run", "PYTHON=./py311", "ARGS=stage=sft")
    assert calls == ["venv", "pip"], done.stderr
    assert "venv: making .venv with" in done.stdout
    assert "launched launch.py stage=sft" in done.stdout

    done, calls = make(checkout, "run", "ARGS=stage=sft")
    assert calls == []
    assert done.stdout.splitlines() == [
        ".venv/bin/python launch.py stage=sft",
        "launched launch.py stage=sft",
    ]


def test_it_follows_the_files_the_python_and_the_folder(checkout: Path) -> None:
    make(checkout, "venv", "PYTHON=./py311")
    for name in ("constraints.txt", "pyproject.toml"):
        (checkout / name).write_text((checkout / name).read_text() + "# changed\n")
        done, calls = make(checkout, "venv")
        assert (calls, done.returncode) == (["pip"], 0), f"{name}: brought up to date in place"
    assert make(checkout, "venv", "PYTHON=./py312")[1] == ["venv", "pip"]
    assert make(checkout, "venv")[1] == [], "without PYTHON the environment at hand is kept"

    moved = checkout.rename(checkout.with_name("moved"))
    assert make(moved, "venv", "PYTHON=./py312")[1] == ["venv", "pip"]


def test_an_install_that_broke_off_is_started_over(checkout: Path) -> None:
    (checkout / "pip-fails").touch()
    done, _ = make(checkout, "run", "PYTHON=./py311")
    assert done.returncode != 0
    assert "pip could not fill .venv" in done.stderr
    assert "launched" not in done.stdout

    (checkout / "pip-fails").unlink()
    assert make(checkout, "venv", "PYTHON=./py311")[1] == ["venv", "pip"]


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock to lock with")
def test_two_makes_at_once_make_one_environment(checkout: Path) -> None:
    command = ["make", "run", "PYTHON=./py311"]
    both = [subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE) for _ in range(2)]
    told = [one.communicate(timeout=60)[0] for one in both]
    assert all(b"launched launch.py" in one for one in told)
    calls = (checkout / "calls").read_text().split("\n")
    assert [call.split()[0] for call in calls if call] == ["venv", "pip"]


@pytest.mark.parametrize("why", ["no such Python", "no venv module"])
def test_without_a_python_it_says_what_to_type(checkout: Path, why: str) -> None:
    python = "./absent" if why == "no such Python" else "./py311"
    (checkout / "no-venv-module").touch()
    done, calls = make(checkout, "test", f"PYTHON={python}")
    assert calls == []
    assert done.returncode != 0
    assert f"no Python to make .venv with (tried: {python})" in done.stderr
    assert "3.11, 3.12 or 3.13, with its venv module (Debian: apt install python3-venv)" in (
        done.stderr
    )
    assert "make test PYTHON=/path/to/python3.11" in done.stderr


def test_help_lists_every_target(checkout: Path) -> None:
    done, _ = make(checkout)
    phony = re.search(r"^\.PHONY: (.*)$", (checkout / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert listed == phony.group(1).split()
