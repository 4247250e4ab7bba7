"""The rules that keep the house standing, each a test (docs/design.md, section 3)."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import initialize_config_dir

from mllmrec.algorithm.base import NAMED_PARTS, Algorithm
from mllmrec.compose import compose_one
from mllmrec.jsonschema import header
from mllmrec.schema import COMPOSED, GROUPS, NAMED, STAGES, TARGET, Config, Model

ROOT = Path(__file__).resolve().parents[1]
CONF, PACKAGE = ROOT / "conf", ROOT / "mllmrec"
FILES = sorted(PACKAGE.rglob("*.py"))
YAMLS = sorted(CONF.rglob("*.yaml"))

# Stages that others make for themselves; nobody asks for one by name.
INNER = {("stage", "rank"), ("stage", "fit"), ("stage", "consistency"), ("stage", "hints")}
INNER |= {("stage", "requests")}
SINGLE = {"prompt"}  # groups that are one module each, not a folder
PARTS = [f"{COMPOSED}/{kind}" for kind in Algorithm.model_fields]  # groups below a group
NAMED_GROUPS = {*NAMED, *(f"{COMPOSED}/{kind}" for kind in NAMED_PARTS)}
# Bottom up: a module imports from layers below its own. A name is a module or a folder of them;
# the longest name that fits counts, so stage.base lies below the other modules of stage/.
CORE = "errors faults schema artifacts locks roots provenance records prompt answer ranking redact"
CORE += " seeds asking cases journal pictures steps progress probed launches ranks"
LAYERS = [
    [*CORE.split(), "rendering", "tracking"],
    ["dataset", "backbone", "reward", "algorithm", "recommender", "scoring", "report", "page"],
    ["hardware.machine"],
    ["parallel"],
    ["endpoint", "local", "assessment"],
    ["captioner", "reasoner", "refiner"],
    ["stage.base", "stage.command", "stage.adopt", "stage.replies"],
    ["training"],
    ["policy"],
    ["serving"],
    ["comparison"],
    ["stage"],
    ["parts"],
    ["swaps"],
    ["plan", "performing", "overrides"],
    ["hardware", "worker"],
    ["build", "follow", "compose", "jsonschema"],
    ["runner"],
    ["grid"],
    ["sweep"],
    ["stage.sweep"],  # it alone starts launches
    ["launch"],
]
# Stages look at one another only to say what they stand on.
SIDEWAYS = {
    ("stage.adopt", "stage.base"),
    ("stage.assess", "stage.consistency"),
    ("stage.consistency", "stage.pretrain"),
    ("stage.consistency", "stage.refine"),
    ("stage.consistency", "stage.sft"),
    ("stage.compare", "stage.command"),
    ("stage.evaluate", "stage.rank"),
    ("stage.export", "stage.evaluate"),
    ("stage.export", "stage.rank"),
    ("stage.grpo", "stage.hints"),
    ("stage.grpo", "stage.sft"),
    ("stage.hints", "stage.pseudo_cot"),
    ("stage.hints", "stage.refine"),
    ("stage.merge", "stage.pretrain"),
    ("stage.rank", "stage.fit"),
    ("stage.rank", "stage.hints"),
    ("stage.rank", "stage.pretrain"),
    ("stage.recommend", "stage.hints"),
    ("stage.recommend", "stage.pseudo_cot"),
    ("stage.recommend", "stage.rank"),
    ("stage.recommend", "stage.requests"),
    ("stage.refine", "stage.pseudo_cot"),
    ("stage.replies", "stage.base"),
    ("stage.sft", "stage.pretrain"),
    ("stage.show", "stage.hints"),
}
HEAVY = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers"}
HEAVY_AT_HOME = (
    "training.",
    "scoring.",
    "backbone.loading",
    "parallel.sharding",
    "policy.model",
    "policy.embedding",
    "local.models",
    "recommender.networks",
    "recommender.fitting",
    "recommender.tuning",
    "serving.merged",
)
BASES = {"base", "command"}  # what components are made of
MOST_LINES, MOST_OF_A_FUNCTION = 300, 60


def name_of(file: Path) -> str:
    """``stage.sft`` for mllmrec/stage/sft.py, ``launch`` for launch.py."""
    base = PACKAGE if PACKAGE in file.parents else ROOT
    return ".".join(file.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def said(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def runtime(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from runtime(node)


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[tuple[str, int]]:
    """Every module that is imported, in full, and the line."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = ROOT / node.module.replace(".", "/")
            for alias in node.names:
                is_module = inside.is_dir() and (inside / f"{alias.name}.py").exists()
                yield (f"{node.module}.{alias.name}" if is_module else node.module), node.lineno


@cache
def arrows() -> list[tuple[str, str, str]]:
    """Our own modules: who imports whom, and where it says so."""
    return [
        (name_of(file), target.removeprefix("mllmrec."), f"{said(file)}:{line}")
        for file in [ROOT / "launch.py", *FILES]
        for target, line in imported(runtime(ast.parse(file.read_text(encoding="utf-8"))))
        if target.startswith("mllmrec.")
    ]


def place(module: str) -> tuple[int, str]:
    """The layer of a module, from the bottom, and the name in LAYERS that it goes by."""
    found = [
        (height, name)
        for height, names in enumerate(LAYERS)
        for name in names
        if module == name or module.startswith(name + ".")
    ]
    if found:
        return max(found, key=lambda one: len(one[1]))
    raise AssertionError(f"{module} has no layer: give it one in tests/test_structure.py")


def test_every_module_has_a_layer() -> None:
    for file in FILES:
        if name_of(file) != "__init__" and file.name != "__init__.py":
            place(name_of(file))


def test_arrows_point_down() -> None:
    wrong = []
    for source, target, where in arrows():
        (above, own), (below, other) = place(source), place(target)
        is_free = above == 0 or own == other != "stage"  # the core, and within one folder
        if above > below or (above == below and (is_free or (source, target) in SIDEWAYS)):
            continue
        wrong.append(f"{where}: {source} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_each_sideways_arrow_is_still_there() -> None:
    assert {(source, target) for source, target, _ in arrows()} >= SIDEWAYS


def test_no_imports_go_in_circles() -> None:
    graph: dict[str, set[str]] = {}
    for source, target, _ in arrows():
        graph.setdefault(source, set()).add(target)
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_wandb_is_imported_in_one_place() -> None:
    found = {
        file.parent
        for file in FILES
        for target, _ in imported(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        if target.split(".")[0] in ("wandb", "wandb_workspaces")
    }
    assert found == {PACKAGE / "tracking"}


def test_torch_is_imported_only_where_it_computes() -> None:
    wrong = [
        f"{said(file)}:{line}: {target}"
        for file in FILES
        if not name_of(file).startswith(HEAVY_AT_HOME)
        for target, line in imported(ast.parse(file.read_text(encoding="utf-8")).body)
        if target.split(".")[0] in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def test_configs_plans_and_help_load_no_torch() -> None:
    """What must start fast: the entrypoint, all stages and components, the schemas, tracking."""
    light = [f"mllmrec.{name_of(file)}" for file in FILES if file.name != "__init__.py"]
    light = [name for name in light if not name.removeprefix("mllmrec.").startswith(HEAVY_AT_HOME)]
    code = f"""
import sys, importlib
for name in {["launch", "mllmrec.training.options", *light]!r}:
    importlib.import_module(name)
print(sorted({HEAVY | {"wandb"}!r} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_utils() -> None:
    folders = [ROOT / name for name in ("mllmrec", "tests", "bench")]
    names = {"utils", "util", "helpers", "common", "misc"}
    assert not [said(p) for folder in folders for p in folder.rglob("*") if p.stem in names]


def targets(file: Path) -> dict[str, str]:
    """Every ``_target_`` of a file by the dotted path of its node."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == TARGET:
                    yield path, value
                yield from walk(value, f"{path}.{key}".lstrip("."))

    return dict(walk(yaml.safe_load(file.read_text(encoding="utf-8")), ""))


def test_groups_and_stages_are_those_of_conf() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert folders == {*GROUPS, "stage", "experiment", "hardware", "hydra", "schema"}
    stages = [path.stem for path in CONF.glob("stage/*.yaml")]
    assert sorted(stages) == sorted(STAGES)


@pytest.mark.parametrize("folder", [CONF, PACKAGE, ROOT / "tests"], ids=said)
def test_each_kind_of_part_has_its_folder(folder: Path) -> None:
    found = [path.name for path in (folder / COMPOSED).iterdir() if path.is_dir()]
    assert sorted({*found} - {"__pycache__"}) == sorted(Algorithm.model_fields)


@pytest.mark.parametrize("file", sorted(CONF.glob(f"{COMPOSED}/*.yaml")), ids=said)
def test_a_composition_is_of_parts_alone(file: Path) -> None:
    """It says what of each kind, in the order of a step; named kinds have their key, if empty."""
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert tree[TARGET] == f"{Algorithm.__module__}.{Algorithm.__name__}"
    chosen = {
        kind: what for one in tree["defaults"] if one != "_self_" for kind, what in one.items()
    }
    assert [*chosen] == [*Algorithm.model_fields]
    for kind, what in chosen.items():
        assert isinstance(what, list) == (kind in NAMED_PARTS)
        assert what or tree[kind] == {}, f"{kind}: {{}} makes the key"
    assert re.search(rf"algorithm={file.stem}\b", header(file)), "say how it is launched"


@pytest.mark.parametrize("file", sorted(CONF.glob(f"{COMPOSED}/*/*.yaml")), ids=said)
def test_a_part_says_how_it_is_launched(file: Path) -> None:
    """By its own words, or by those of a composition that chooses it."""
    kind, name = file.parent.name, file.stem
    words = rf"{COMPOSED}/{kind}=" + (rf"\[[\w,]*{name}" if kind in NAMED_PARTS else rf"{name}\b")
    typed = re.findall(rf"{COMPOSED}=(\w+)", header(file))
    chosen = [
        one[kind]
        for path in (CONF / COMPOSED / f"{made}.yaml" for made in typed)
        for one in yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"]
        if kind in one and one != "_self_"
    ]
    assert re.search(words, header(file)) or any(name in [one, *one] for one in chosen), words


@pytest.mark.parametrize("file", YAMLS, ids=said)
def test_a_target_lies_in_the_package_of_its_group(file: Path) -> None:
    group = file.parent.relative_to(CONF).as_posix()
    if group.startswith("hydra/"):  # Hydra takes its launchers from hydra_plugins alone
        return
    for path, target in targets(file).items():
        if path.startswith("hydra."):  # what Hydra itself makes: no component
            continue
        module = target.rpartition(".")[0]
        home = f"mllmrec.{group}".replace("/", ".")
        assert module == home if group in SINGLE else module.rpartition(".")[0] == home
        if group in NAMED_GROUPS:
            assert path == file.stem, "a named component goes by the name of its file"
        if group == "stage":
            assert path == file.stem, "a stage's node goes by the name of its file"


def components(group: str) -> list[str]:
    """The modules of a folder that hold a component: a model that a config can name."""
    found = []
    for file in sorted((PACKAGE / group).glob("[!_]*.py")):
        if file.stem not in BASES and not name_of(file).startswith(HEAVY_AT_HOME):
            module = import_module(f"mllmrec.{name_of(file)}")
            kinds = [kind for kind in vars(module).values() if isinstance(kind, type)]
            if any(issubclass(k, Model) and k.__module__ == module.__name__ for k in kinds):
                found.append(file.stem)
    return found


FOLDERS = [group for group in GROUPS if group not in SINGLE] + [*PARTS, "stage"]
COMPONENTS = [(group, module) for group in FOLDERS for module in components(group)]


@pytest.mark.parametrize(("group", "module"), COMPONENTS)
def test_a_component_has_a_file_that_reaches_it(group: str, module: str) -> None:
    reached = {
        target.rpartition(".")[0].rpartition(".")[2]
        for file in CONF.glob(f"{group}/*.yaml")
        for target in targets(file).values()
    }
    assert module in reached or (group, module) in INNER


@pytest.mark.parametrize(("group", "module"), COMPONENTS)
def test_a_component_has_a_test(group: str, module: str) -> None:
    file = ROOT / "tests" / group / f"test_{module}.py"
    assert file.exists(), f"write {said(file)}"


def knob_models() -> list[type[Model]]:
    for name in ("prompt", "training.options"):
        import_module(f"mllmrec.{name}")
    for group, module in COMPONENTS:
        import_module(f"mllmrec.{group.replace('/', '.')}.{module}")

    def below(kind: type[Model]) -> Iterator[type[Model]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    ours = {kind for kind in below(Model) if kind.__module__.startswith("mllmrec.")}
    return sorted(ours - {Config}, key=lambda kind: kind.__qualname__)  # Config is made, not typed


def test_python_owns_no_values() -> None:
    wrong = [
        f"{kind.__module__}.{kind.__name__}.{name}"
        for kind in knob_models()
        for name, field in kind.model_fields.items()
        if not field.is_required()
    ]
    assert not wrong, f"a default belongs in conf/: {wrong}"


WHOLE = {"experiment", "hardware"}  # a comment above a node speaks for all of it
SPEAK_FOR_THEMSELVES = {TARGET, "defaults", "goal", "hydra"}


@pytest.mark.parametrize("file", YAMLS, ids=said)
def test_each_field_has_its_comment(file: Path) -> None:
    """The line above a field is a comment; one above a node of an experiment speaks for it all."""
    text = file.read_text(encoding="utf-8")
    lines, missing = text.splitlines(), []

    def walk(node: yaml.MappingNode, path: tuple[str, ...], is_told: bool) -> None:
        for key, value in node.value:
            if key.value in SPEAK_FOR_THEMSELVES:
                continue
            above = key.start_mark.line and lines[key.start_mark.line - 1].strip()
            told = is_told or str(above).startswith("#")
            is_node = isinstance(value, yaml.MappingNode) and not value.flow_style
            if not told and not (is_node and not path and file.parent.name == "stage"):
                missing.append(f"{said(file)}:{key.start_mark.line + 1}: {key.value}")
            if is_node:
                walk(value, (*path, key.value), told and file.parent.name in WHOLE)

    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    walk(root, (), False)
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("file", YAMLS, ids=said)
def test_numbers_are_numbers_to_every_reader(file: Path) -> None:
    """PyYAML reads 1e-5 as text and OmegaConf as a number; 1.0e-5 is a number to both."""
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    bare = re.compile(r"(?:^|[\s:\[,{])([-+]?\d+[eE][-+]?\d+|[-+]?\d+\.\d*[eE]\d+)(?=[\s,\]}]|$)")
    found = [f"{said(file)}:{n}: {m[1]}" for n, line in lines if (m := bare.search(line))]
    assert not found, f"write 1.0e-5: {found}"


@pytest.mark.parametrize("file", FILES, ids=said)
def test_files_and_functions_stay_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES, f"{len(text.splitlines())} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MOST_OF_A_FUNCTION, f"{node.name}: {length} lines"


# What tells of one machine: somebody's folders, and where somebody's packages come from.
PLACES = re.compile(
    r"(?<![\w./$}~-])/(?:home|root|Users|work|mnt|scratch|opt)/[\w.-]+|/tmp/(?!$)\w+"
    r"|in[d]ex-url|trusted-hos[t]|find-link[s]\s*=|//[\w.-]*(?:artifactor[y]|nexu[s]|mirro[r]|pyp[i])"
)


def test_no_file_tells_of_a_machine() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in listed.stdout.splitlines():
        try:
            lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):  # deleted, or no text
            continue
        found += [
            f"{name}:{n}: {m[0]}" for n, text in enumerate(lines, 1) if (m := PLACES.search(text))
        ]
    found = [line for line in found if not line.startswith("tests/test_structure.py")]
    assert not found, "\n".join(found)


DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(said(file) for file in ROOT.glob("docs/*.md"))]
NAMED_FILE = re.compile(r"`((?:mllmrec|conf|tests|docs|bench|sweeps)/[\w./]*\w/?)(?:::(\w+))?`")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_what_exists(name: str) -> None:
    """Files, and tests by ``file::name``."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for path, test in NAMED_FILE.findall(text):
        assert (ROOT / path).exists(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)|^\[[^]]+\]:\s*<?([^\s>]+)>?", re.MULTILINE)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_documents_lead_to_files(name: str) -> None:
    """Relative ones, from the folder of the document."""
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in (inline or below for inline, below in LINK.findall(text)):
        if re.match(r"[a-z][a-z+.-]*:", link):  # https:, mailto:
            continue
        assert ((ROOT / name).parent / link.partition("#")[0]).exists(), link


def test_the_published_recipe_composes() -> None:
    """The command at the end of docs/published.md, and the overrides of its table together."""
    text = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")
    block = text.split("```bash\n")[1].split("```")[0]
    words = shlex.split(block.replace("\\\n", " "))
    assert words[:2] == ["python", "launch.py"]
    rows = [line.split("|")[3] for line in text.splitlines() if line.startswith("|")]
    codes = [code for cell in rows for code in re.findall(r"`([^`]*)`", cell)]
    typed = {w for code in codes for w in code.split() if re.fullmatch(r"[\w./]+=\S+", w)}
    assert len(typed) > 20
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        whole = compose_one(words[2:], [], "config")
        compose_one(sorted(typed), [], "config")
    assert whole.stages["grpo"].num_generations == 8
    assert whole.stages["evaluate"].samples["uni9"] is None
