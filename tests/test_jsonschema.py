"""The schemas of the config are current, hold for every YAML, and catch what they are there for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from mllmrec.jsonschema import CONF, DRAFT, comments, header, schemas, text_of, write
from mllmrec.schema import COMPOSED, GROUPS

PACKAGE = "# @package _global_"
YAMLS = sorted(path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml"))
YAMLS = [file for file in YAMLS if not file.startswith("hydra/")]  # Hydra's own groups, not ours


def schema_of(file: str) -> str:
    group = file.partition("/")[0]
    return group if group in GROUPS else "root"


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return schemas(CONF)


@pytest.fixture(scope="module")
def faults(made: dict[str, Any]) -> Any:
    """A function from a schema's name and a tree to the paths of what is wrong with it."""
    files = ((f"{name}.json", DRAFT7.create_resource(schema)) for name, schema in made.items())
    registry: Registry[Any] = Registry().with_resources(files)

    def found(name: str, tree: Any) -> list[str]:
        validator = Draft7Validator({"$ref": f"{name}.json"}, registry=registry)
        return [error.json_path for error in validator.iter_errors(tree)]

    return found


def test_the_committed_schemas_are_current(made: dict[str, Any]) -> None:
    kept = {file.stem: file.read_text(encoding="utf-8") for file in CONF.glob("schema/*.json")}
    assert kept == {name: text_of(schema) for name, schema in made.items()}, (
        "type: python -m mllmrec.jsonschema"
    )


def test_they_are_schemas(made: dict[str, Any]) -> None:
    for schema in made.values():
        assert schema["$schema"] == DRAFT
        Draft7Validator.check_schema(schema)
    nodes = made["root"]["properties"]
    assert {group: nodes[group] for group in GROUPS} == {g: {"$ref": f"{g}.json"} for g in GROUPS}


@pytest.mark.parametrize("file", YAMLS)
def test_each_file_fits_its_schema(file: str, faults: Any) -> None:
    tree = yaml.safe_load((CONF / file).read_text(encoding="utf-8"))
    assert faults(schema_of(file), tree) == []


@pytest.mark.parametrize("file", YAMLS)
def test_each_file_names_its_schema_first(file: str) -> None:
    """Hydra reads ``@package`` only before any other comment, so there the schema is second."""
    lines = (CONF / file).read_text(encoding="utf-8").splitlines()
    is_global = file.startswith(("stage/", "experiment/", "hardware/"))
    assert (lines[0] == PACKAGE) == is_global
    place = "../" * file.count("/") + "schema"
    line = f"# yaml-language-server: $schema={place}/{schema_of(file)}.json"
    assert lines[1 if is_global else 0] == line


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("algorithm", {"policy": {"epsilon": 0.3}}),
        ("algorithm", {"policy": {"epsilon": "${grpo.beta}"}, "shaping": {}}),
        ("algorithm", {"auxiliary": {"fail_groups": {"weight": 0.5}}}),
        ("algorithm", {"defaults": ["clip", "_self_"], "epsilon": 0.3}),
        ("algorithm", {"_target_": "mllmrec.algorithm.policy.clip.Clip", "epsilon": 0.3}),
        ("tracking", {"defaults": ["offline", "_self_"], "mode": "off"}),
        ("reward", {"mine": {"_target_": "mllmrec.reward.hit.Hit", "weight": 2.0}}),
        ("root", {"defaults": [{"override /dataset": "toy"}], "dataset": {"users": 60}}),
        ("root", {"grpo": {"beta": 0.1, "lora": {"r": 8}}, "cot_prob": 0.05}),
        ("root", {"sft": {"lora": "${grpo.lora}", "probe": None}}),
    ],
)
def test_parts_of_a_config_are_taken(name: str, tree: Any, faults: Any) -> None:
    assert faults(name, tree) == []


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("algorithm", {"policy": {"epsilom": 0.3}}),
        ("algorithm", {"policy": {"epsilon": -1}}),
        ("algorithm", {"policy": {"epsilon": "much"}}),
        ("algorithm", {"polcy": {"epsilon": 0.3}}),
        ("algorithm", {"epsilon": 0.3}),  # a part's knob, where a composition's parts are
        ("algorithm", {"kl": {"_target_": "mllmrec.algorithm.policy.clip.Clip"}}),
        ("algorithm", {"shaping": {"fail_groups": {"weight": 0.5}}}),
        ("algorithm", {"auxiliary": {"fail_groups": {"wieght": 0.5}}}),
        ("algorithm", {"_target_": "mllmrec.algorithm.policy.clip.Clap"}),
        ("algorithm", {"_target_": "mllmrec.algorithm.policy.clip.Clip", "epsilom": 0.3}),
        ("reward", {"hit": {"wieght": 1.0}}),
        ("root", {"grpo": {"beta": "5e-2"}}),
        ("root", {"grpo": {"lora": {"rank": 8}}}),
        ("root", {"cot_prob": 1.5}),
        ("root", {"cotprob": 0.1}),
    ],
)
def test_a_slip_is_marked(name: str, tree: Any, faults: Any) -> None:
    assert faults(name, tree)


def test_descriptions_are_the_comments_above_the_fields(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        f"{PACKAGE}\n# yaml-language-server: $schema=x\n# What it is.\n# How to launch it.\n"
        "a:\n  # One.\n  # And more.\n  b: 1\n  c: 2\n\n  # Three.\n  d: |-\n    # Four.\n    e\n"
        "# Six.\nf: 6\n"
    )
    assert header(file) == "What it is. How to launch it."
    said = comments(file)
    assert said["a.b"] == "One. And more."
    assert "a.c" not in said
    assert said["a.d"] == "Three."
    assert said["f"] == "Six."


def test_a_kind_of_part_is_described_and_takes_each_of_its_parts(made: dict[str, Any]) -> None:
    defined = made[COMPOSED]["definitions"]
    policy = defined["composition"]["properties"]["policy"]
    assert policy["description"] == "The loss of the rollouts, with its KL term."
    assert {"$ref": "#/definitions/policy.Clip"} in policy["anyOf"]
    assert "(ε)" in defined["policy.Clip"]["properties"]["epsilon"]["description"]
    weight = defined["auxiliary.FailGroups"]["properties"]["weight"]
    assert weight["description"], "of a named part, without its name"


def test_a_knob_is_described_by_its_comment_at_any_depth(made: dict[str, Any]) -> None:
    beta = made["root"]["properties"]["grpo"]["properties"]["beta"]
    assert "(β)" in beta["description"]
    rank = made["root"]["properties"]["sft"]["properties"]["lora"]["anyOf"][0]["properties"]["r"]
    assert rank["description"] == "Rank (r)."


def test_the_command_writes_what_is_there_and_removes_what_is_not(tmp_path: Path) -> None:
    for file in YAMLS:
        (tmp_path / file).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / file).write_text((CONF / file).read_text(encoding="utf-8"), encoding="utf-8")
    write(tmp_path)
    (tmp_path / "schema" / "gone.json").write_text("{}")
    write(tmp_path)
    files = sorted((tmp_path / "schema").iterdir())
    assert [file.stem for file in files] == sorted([*GROUPS, "root"])
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.endswith("}\n")
        assert text == text_of(json.loads(text)), "keys are sorted"


def test_schema_is_no_group_of_the_command_line() -> None:
    """The folder lies beside the groups, and a choice of it would make no sense."""
    command = [sys.executable, "launch.py", "--help"]
    done = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True, check=True)
    offered = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert {"dataset", "stage"} <= {*offered}
    assert "schema" not in offered
