"""JSON Schemas of the config, so that editors complete and check what is typed into a YAML.

``python -m mllmrec.jsonschema`` writes ``conf/schema/<group>.json`` for the files of each group,
and ``root.json`` for ``conf/config.yaml``, ``conf/stage/`` and ``conf/experiment/``. Names, types
and ranges come from the models, descriptions from the comments above the fields. The files of parts
(``conf/algorithm/policy/`` and the like) go by the schema of what is composed of them.
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from omegaconf import OmegaConf
from pydantic import BaseModel

from mllmrec.algorithm.base import NAMED_PARTS, Algorithm
from mllmrec.schema import COMPOSED, GROUPS, NAMED, STAGES, TARGET, Top

CONF = Path(__file__).parents[1] / "conf"
DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest that all editors' plugins know
ROOT = "root"
LIST = {"type": "array"}
INTERPOLATION = {"type": "string", "pattern": r"^\$\{"}
KEY = re.compile(r'( *)"?(\w+)"?:(?:\s|$)')
MARKS = ("@package ", "yaml-language-server:")

Schema = dict[str, Any]
Said = Mapping[str, str]


def schemas(conf: Path) -> dict[str, Schema]:
    """All schemas by the name of their file."""
    made = {group: of_group(conf, group) for group in GROUPS if group != COMPOSED}
    made[COMPOSED] = of_composed(conf)
    return made | {ROOT: of_root(conf)}


def of_group(conf: Path, group: str) -> Schema:
    """Any of the group's components; of a named group, each component under a name of its own."""
    is_named = group in NAMED
    found = targets(conf / group, deep=is_named)
    one = {"anyOf": [of_component(target, files, is_named) for target, files in found.items()]}
    many = {"type": "object", "properties": {"defaults": LIST}, "additionalProperties": one}
    return {"$schema": DRAFT, "title": group, **(many if is_named else one)}


def of_composed(conf: Path) -> Schema:
    """A composition of parts, each one of its kind's; or the file of a part, which names its class.

    Without ``_target_`` and ``defaults`` it is a composition: what an experiment sets of one.
    """
    parts: dict[str, list[Schema]] = {}
    defined: Schema = {}
    for kind in Algorithm.model_fields:
        found = targets(conf / COMPOSED / kind, deep=kind in NAMED_PARTS)
        made = {
            f"{kind}.{target.rpartition('.')[2]}": of_component(target, files, kind in NAMED_PARTS)
            for target, files in found.items()
        }
        defined |= made
        parts[kind] = [{"$ref": f"#/definitions/{name}"} for name in made]
    defined["composition"] = of_composition(parts)
    own = {"anyOf": [{"required": [TARGET]}, {"required": ["defaults"]}]}
    flat = [part for kind, some in parts.items() if kind not in NAMED_PARTS for part in some]
    named = [{"allOf": [part, own]} for kind in NAMED_PARTS for part in parts[kind]]
    files: list[Schema] = [{"allOf": [own, {"anyOf": flat}]}] if flat else []
    files += [by_name(named, {"minProperties": 1})] if named else []
    anyone = [{"$ref": "#/definitions/composition"}, *files]
    return {"$schema": DRAFT, "title": COMPOSED, "anyOf": anyone, "definitions": defined}


def of_composition(parts: Mapping[str, list[Schema]]) -> Schema:
    """A node for each kind of part: one part, or parts by name."""
    nodes: Schema = {TARGET: {"const": f"{Algorithm.__module__}.{Algorithm.__name__}"}}
    for kind, some in parts.items():
        node = by_name(some, {}) if kind in NAMED_PARTS else {"anyOf": some} if some else {}
        nodes[kind] = {"description": about(kind), **node}
    properties = {"defaults": LIST, **nodes}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def about(kind: str) -> str:
    """What a kind of part does: the first paragraph that its base class says of itself."""
    annotation = Algorithm.model_fields[kind].annotation
    base = get_args(annotation)[1] if kind in NAMED_PARTS else annotation
    return " ".join((inspect.getdoc(base) or "").partition("\n\n")[0].split())


def by_name(some: list[Schema], more: Schema) -> Schema:
    one = {"anyOf": some} if some else False
    return {"type": "object", **more, "additionalProperties": one}


def of_root(conf: Path) -> Schema:
    """The top of the config, with a node for each group and each stage."""
    top = of_model(Top, comments(conf / "config.yaml"))
    nodes: Schema = {group: {"$ref": f"{group}.json"} for group in GROUPS}
    for stage in STAGES:
        file = conf / "stage" / f"{stage}.yaml"
        tree: Any = OmegaConf.load(file)
        target = tree[stage][TARGET]
        node = of_model(class_of(target), comments(file), f"{stage}.")
        node["properties"][TARGET] = {"const": target}
        nodes[stage] = {"description": header(file), **node}
    nodes |= {"defaults": LIST, "hydra": {"type": "object"}}
    properties = {**top["properties"], **nodes}
    return {"$schema": DRAFT, "title": ROOT, **top, "properties": properties}


def targets(folder: Path, *, deep: bool) -> dict[str, list[Path]]:
    """Each ``_target_`` in a folder's files and the files that name it, its namesake first."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.yaml")):
        tree: Any = OmegaConf.load(file)
        for node in tree.values() if deep else [tree]:
            if target := node.get(TARGET):
                found.setdefault(target, []).append(file)
    return {
        target: sorted(files, key=lambda file: file.stem != target.split(".")[-2])
        for target, files in sorted(found.items())
    }


def of_component(target: str, files: Iterable[Path], is_named: bool) -> Schema:
    """One class as the files of a group write it: any part of its knobs, and its ``_target_``."""
    said: dict[str, str] = {}
    for file in files:
        lines = comments(file)
        prefix = f"{file.stem}." if is_named else ""
        said = {path.removeprefix(prefix): text for path, text in lines.items()} | said
    schema = of_model(class_of(target), said)
    schema["properties"][TARGET] = {"const": target}
    if not is_named:
        schema["properties"]["defaults"] = LIST  # a variant begins with another file
    return schema


def class_of(target: str) -> type[BaseModel]:
    module, _, name = target.rpartition(".")
    found: type[BaseModel] = getattr(import_module(module), name)
    return found


def of_model(kind: type[BaseModel], said: Said, prefix: str = "") -> Schema:
    """The schema of a model, with nothing required and each field described by its comment."""
    schema = kind.model_json_schema()
    return opened(schema, schema.get("$defs", {}), said, prefix)


def opened(schema: Schema, defs: Schema, said: Said, path: str) -> Schema:
    """A schema of pydantic's with its references put in place and its values loosened."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].removeprefix("#/$defs/")]
    told = ("$defs", "title", "description", "required")
    found = {key: value for key, value in schema.items() if key not in told}
    if "properties" in found:
        found["properties"] = {
            name: described(opened(value, defs, said, f"{path}{name}."), said, f"{path}{name}")
            for name, value in found["properties"].items()
        }
    if isinstance(found.get("additionalProperties"), dict):  # of a dictionary by name
        found["additionalProperties"] = opened(found["additionalProperties"], defs, said, path)
    if "anyOf" in found:
        found["anyOf"] = [opened(value, defs, said, path) for value in found["anyOf"]]
    if "items" in found:
        found["items"] = loosened(opened(found["items"], defs, said, path))
    if "prefixItems" in found:  # as the draft calls it
        parts = found.pop("prefixItems")
        found["items"] = [loosened(opened(value, defs, said, path)) for value in parts]
    return found


def described(schema: Schema, said: Said, path: str) -> Schema:
    words = {"description": said[path]} if path in said else {}
    return {**words, **loosened(schema)}


def loosened(schema: Schema) -> Schema:
    """The same, or an interpolation, whose value is known only once the config is composed."""
    if not schema or schema == {"type": "string"}:
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], INTERPOLATION]}
    return {"anyOf": [schema, INTERPOLATION]}


def header(file: Path) -> str:
    """What a file says of itself: its first comments."""
    lines = file.read_text(encoding="utf-8").splitlines()
    first = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return joined(lines[:first])


def comments(file: Path) -> dict[str, str]:
    """What stands right above each field of a file, by the field's dotted path."""
    found: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    above: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#"):
            above.append(line)
            continue
        if match := KEY.match(line):
            indent, name = len(match[1]), match[2]
            stack = [*(outer for outer in stack if outer[0] < indent), (indent, name)]
            if above:
                found[".".join(key for _, key in stack)] = joined(above)
        above = []
    return found


def joined(lines: Iterable[str]) -> str:
    """Comment lines as one text, without what they say to programs."""
    texts = (line.strip().removeprefix("#").strip() for line in lines)
    return " ".join(text for text in texts if not text.startswith(MARKS))


def text_of(schema: Schema) -> str:
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(conf: Path) -> None:
    """Write the schemas below ``conf/schema/``, and remove those of groups that are no more."""
    folder = conf / "schema"
    folder.mkdir(exist_ok=True)
    made = schemas(conf)
    for file in folder.glob("*.json"):
        if file.stem not in made:
            file.unlink()
    for name, schema in made.items():
        (folder / f"{name}.json").write_text(text_of(schema), encoding="utf-8")


if __name__ == "__main__":
    write(CONF)
