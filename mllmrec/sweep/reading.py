"""A sweep's file, read and held to what means the same here and on W&B's servers.

``stage=sweep`` runs a file of ``sweeps/`` here; ``wandb sweep`` and ``wandb agent`` run the same
file there. What W&B knows and this runner does not, and what Hydra would read differently from
what W&B's agent writes, is refused.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from mllmrec.errors import Refusal
from mllmrec.overrides import is_swept
from mllmrec.parts import KINDS
from mllmrec.schema import COMPOSED, GROUPS
from mllmrec.sweep.grammar import (
    ARGS,
    BEGINNING,
    SEEDS,
    Between,
    Categorical,
    Constant,
    Grammar,
    Shape,
)

PROGRAM = "launch.py"
COMMAND = f"command: [{', '.join(BEGINNING)}, stage=evaluate, tracking=online, {ARGS}]"
CHOICES = (*GROUPS, "stage", "experiment", "hardware", "parallel", "sweep")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
BARE_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
# Of W&B's keys those that have no meaning without its servers, or want what this runner has not.
ELSEWHERE = {
    "job": "it is of W&B Launch",
    "image_uri": "it is of W&B Launch",
    "controller": "it says who chooses the points on W&B's servers",
    "scheduler": "it is of `wandb sweep-scheduler`",
    "metrics": "several aims at once are of `wandb sweep-scheduler`",
}


def read(path: Path) -> tuple[str, Grammar]:
    """The question of a file, which is the comment in its first lines, and what it asks for.

    Raises:
        Refusal: there is no such file, or it says what does not run in both worlds.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refusal(
            f"sweep.file={path}: {' '.join(str(error).split())}",
            allowed="a YAML in W&B's grammar of sweeps, as those of sweeps/ are",
            do="type sweep=NAME for one of sweeps/, or sweep.file=PATH",
        ) from error
    return question_of(text), parse(tree, str(path))


def question_of(text: str) -> str:
    """The comment that a file begins with, up to its question mark, or its first line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
        if line.rstrip().endswith("?"):
            return " ".join(lines)
    return lines[0] if lines else ""


def parse(tree: Any, source: str) -> Grammar:
    """The typed form of a sweep's file.

    Raises:
        Refusal: an unknown key, a value out of range, or what the two worlds read differently.
    """
    if not isinstance(tree, Mapping):
        allowed = "program, command, method, metric and parameters"
        raise fault(source, "no mapping of keys", allowed)
    for key, why in ELSEWHERE.items():
        if key in tree:
            allowed = "what runs without a server too"
            raise fault(source, f"{key}: {why}", allowed, f"leave {key} out")
    if tree.get("method") == "custom":
        raise fault(source, "method=custom: it wants W&B's scheduler", "grid, random or bayes")
    check_metric(tree.get("metric"), source)
    nodes = tree.get("parameters")
    for name, node in nodes.items() if isinstance(nodes, Mapping) else ():
        check_parameter(str(name), node, source)
    if "command" not in tree:
        wrong = "no command: W&B would write --knob=value, which Hydra does not read"
        raise fault(source, wrong, f"overrides as {ARGS} writes them", f"write {COMMAND}")
    try:
        made = Grammar.model_validate(tree)
    except ValidationError as error:
        said = "; ".join(map(told, error.errors()))
        raise fault(source, said, "W&B's grammar of sweeps") from error
    check_command(made, source)
    for name, one in made.parameters.items():
        if isinstance(one, Between):
            check_range(f"parameters.{name}", one, made.method == "grid", source)
    check_seed(made, source)
    check_bands(made, source)
    return made


def fault(source: str, wrong: str, allowed: str, do: str | None = None) -> Refusal:
    return Refusal(f"{source}: {wrong}", allowed=allowed, do=do or "write it as sweeps/ do")


def told(error: Any) -> str:
    """One fault of pydantic's: where, and what."""
    tags = {"value", "values", "min"}
    loc = [part for n, part in enumerate(error["loc"]) if not (n == 2 and part in tags)]
    place = ".".join(map(str, loc))
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown key"
    return f"{place}: {error['msg'][0].lower()}{error['msg'][1:]}"


def check_metric(node: Any, source: str) -> None:
    """Refuse what W&B's server puts in the place of a value that is not there."""
    for key in ("impute", "impute_while_running"):
        if isinstance(node, Mapping) and key in node:
            wrong = f"metric.{key}: a search here goes by what was measured, and by nothing else"
            raise fault(source, wrong, "metric: name, goal and target", f"leave {key} out")


def check_parameter(name: str, node: Any, source: str) -> None:
    """Refuse a parameter that is none, or that the two worlds would read differently."""
    place = f"parameters.{name}"
    group, _, kind = name.replace("/", ".").partition(".")
    if group == COMPOSED and (kind in KINDS or "/" in name):
        wrong = f"{place}: a part; in W&B its name would take the place of all its knobs"
        do = f"write a composition for each, conf/{COMPOSED}/NAME.yaml, and sweep over"
        raise fault(source, wrong, "compositions, by their names",
                    f"{do} {COMPOSED}: {{values: [NAME, NAME]}}")  # fmt: skip
    if not NAME.fullmatch(name):
        raise fault(source, f"{place}: no name of a knob", "letters, digits, dots and _")
    if name in CHOICES and name != COMPOSED:  # its parts are told beside it (tracking.opening)
        wrong = f"{place}: a group; in W&B its name would take the place of all its knobs"
        do = f"write {name}=CHOICE into command, and sweep over knobs"
        raise fault(source, wrong, "knobs, grpo.beta for example", do)
    if not isinstance(node, Mapping):
        raise fault(source, f"{place}={node!r}: no parameter", "value, values, or min and max")
    if "parameters" in node:
        do = f"write {name}.KNOB: {{values: […]}}"
        raise fault(source, f"{place}.parameters: nested", "knobs by their dotted names", do)
    if "probabilities" in node:
        wrong = f"{place}.probabilities: not known here"
        raise fault(source, wrong, "values, each as probable as the others")
    known = ("constant", "categorical", *get_args(Shape))
    if (said := node.get("distribution")) is not None and said not in known:
        raise fault(source, f"{place}.distribution={said}: not known here", ", ".join(known))
    values = node.get("values")
    for value in values if isinstance(values, list) else [node.get("value", 0)]:
        check_value(place, name, value, source)


def check_value(place: str, name: str, value: Any, source: str) -> None:
    """Refuse a value that Hydra does not read as W&B's agent writes it: as Python's text of it."""
    if value is None:
        wrong = f"{place}: null, which W&B's agent would write as the text None"
        raise fault(source, wrong, "the word in quotes", 'write "null"')
    if isinstance(value, Mapping):
        raise fault(source, f"{place}={value}: a mapping", "knobs by their dotted names")
    if isinstance(value, str) and BARE_EXPONENT.fullmatch(value):
        wrong = f"{place}={value!r}: text to YAML, and a number to Hydra"
        raise fault(source, wrong, "numbers with a dot", "write it as 1.0e-5 is written")
    if is_swept(f"{name}={value}"):
        wrong = f"{place}={value!r}: several values to Hydra"
        do = "write each as a value of its own, or a list in brackets"
        raise fault(source, wrong, "one value", do)


def check_command(made: Grammar, source: str) -> None:
    """Refuse a command that would not hand the point to ``launch.py``."""
    if Path(made.program).name != PROGRAM:
        raise fault(source, f"program={made.program}", PROGRAM, f"write program: {PROGRAM}")
    known = (*BEGINNING, ARGS)
    if unknown := [word for word in made.command if "${" in word and word not in known]:
        wrong = f"command: {', '.join(unknown)}: not known here"
        raise fault(source, wrong, ", ".join(known), f"write {COMMAND}")
    if tuple(made.command[:3]) != BEGINNING or made.command.count(ARGS) != 1:
        allowed = f"{' '.join(BEGINNING)}, overrides, {ARGS}"
        raise fault(source, "command does not start launch.py", allowed, f"write {COMMAND}")
    if odd := [word for word in made.words if "=" not in word or word.startswith("-")]:
        wrong = f"command: {', '.join(odd)}: no override"
        raise fault(source, wrong, "group=choice and knob=value", f"write {COMMAND}")


def check_range(place: str, one: Between, is_grid: bool, source: str) -> None:
    """Refuse a range that holds nothing, or of which a grid would have no end."""
    said = f"{place}: min={one.min}, max={one.max}"
    if one.min > one.max:
        raise fault(source, said, "min up to max")
    if one.shape == "log_uniform_values" and one.min <= 0:
        raise fault(source, said, "min above 0, as the draw is of logarithms")
    if one.shape == "int_uniform" and not all(type(end) is int for end in (one.min, one.max)):
        raise fault(source, said, "whole numbers with int_uniform")
    if (one.q is not None) != (one.shape == "q_uniform"):
        raise fault(source, f"{place}.q={one.q}", "q, and distribution: q_uniform")
    if is_grid and one.shape not in ("int_uniform", "q_uniform"):
        raise fault(source, f"{said}: a grid of them has no end", "values, whole numbers, or q")


def check_seed(made: Grammar, source: str) -> None:
    """Refuse seeds that are no list of them, as points are averaged over it; and two such lists."""
    if len(both := [name for name in SEEDS if name in made.parameters]) > 1:
        raise fault(source, f"parameters: {' and '.join(both)}", "one of them, or neither",
                    f"leave {both[1]} out, or give it in the command")  # fmt: skip
    asked = made.parameters.get(made.seed)
    values = asked.values if isinstance(asked, Categorical) else None
    values = [asked.value] if isinstance(asked, Constant) else values
    if asked is not None and not (values and all(type(one) is int for one in values)):
        raise fault(source, f"parameters.{made.seed}: no list of seeds", "whole numbers",
                    f"write {made.seed}: {{values: [1, 2, 3]}}")  # fmt: skip


def check_bands(made: Grammar, source: str) -> None:
    """Refuse an early termination that does not say when to look."""
    stop = made.early_terminate
    if stop is None:
        return
    if (stop.min_iter is None) == (stop.max_iter is None):
        raise fault(source, "early_terminate: which looks?", "min_iter, or max_iter and s")
    if (stop.max_iter is None) != (stop.s is None):
        raise fault(source, "early_terminate: s goes with max_iter", "max_iter and s")
