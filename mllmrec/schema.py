"""Names, types and ranges of every knob: the base model, the root, and the one instantiation.

Python owns names, types and ranges; YAML (``conf/``) owns values, so models declare no default
values. Nothing in this module, nor in a module that declares a knob, imports torch.
"""

from collections.abc import Collection, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mllmrec.errors import Refusal
from mllmrec.faults import describe

if TYPE_CHECKING:
    from mllmrec.algorithm.base import Algorithm
    from mllmrec.backbone.base import Backbone
    from mllmrec.captioner.base import Captioner
    from mllmrec.dataset.base import Dataset
    from mllmrec.parallel.base import Parallel
    from mllmrec.prompt import Prompt
    from mllmrec.reasoner.base import Reasoner
    from mllmrec.recommender.base import Recommender
    from mllmrec.refiner.base import Refiner
    from mllmrec.reward.base import Reward
    from mllmrec.stage.base import Stage
    from mllmrec.tracking.knobs import Tracking

TARGET = "_target_"
GROUPS = (
    *("dataset", "backbone", "captioner", "reasoner", "refiner"),
    *("prompt", "reward", "algorithm", "recommender", "tracking", "parallel"),
)
BUILT = (
    *("prepare", "caption", "pseudo_cot", "refine", "pretrain", "assess"),
    *("sft", "merge", "grpo", "sft_continued", "evaluate"),
)
COMMANDS = ("compare", "sweep", "workspace", "sync", "ls", "gc")
STAGES = (*BUILT, "show", "recommend", "export", *COMMANDS)
INNER = ("rank", "fit", "consistency", "hints", "requests")  # that others make for themselves
FORCIBLE = (*BUILT, *INNER, "show", "recommend", "export")
NAMED = ("reward", "recommender")  # groups that hold several components, each under its own name
COMPOSED = "algorithm"  # the group whose component is made of parts, each a component of a folder


class NoEffect:
    """Marks a knob that cannot change the result, so that it does not enter an identity."""


class Model(BaseModel):
    """A typed, frozen piece of the config: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def knobs(self) -> dict[str, Any]:
        """The values that can change a result: all fields but those marked ``NoEffect``."""
        kept = {
            name
            for name, field in type(self).model_fields.items()
            if not any(isinstance(mark, NoEffect) for mark in field.metadata)
        }
        return {"kind": type(self).__name__, **self.model_dump(mode="json", include=kept)}

    def check(self, config: "Config") -> None:
        """Refuse what cannot work with the rest of the config, before anything is begun.

        Raises:
            Refusal: a relation between knobs of different nodes does not hold.
        """

    def check_typed(self, names: frozenset[str]) -> None:
        """Refuse knobs of this node that were typed and would do nothing as the others stand.

        Raises:
            Refusal: one of ``names`` has no effect.
        """


class Words(Model):
    """The dataset's words for prompts: movie, movies, watched."""

    noun: str
    nouns: str
    verb: str


def forcible(name: str) -> str:
    """The name itself; ValueError where no artifact is made by a stage of this name."""
    if name not in FORCIBLE:
        raise ValueError(f"no stage of this name, known: {', '.join(FORCIBLE)}")
    return name


class Top(Model):
    """The knobs at the top of the config."""

    goal: str
    cot_prob: Annotated[float, Field(ge=0, le=1)]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    threads: Annotated[int, Field(ge=1)] | None
    gpu_memory: Annotated[float, Field(gt=0)] | None
    gpu_tflops: Annotated[float, Field(gt=0)] | None
    artifacts: Path
    force: list[Annotated[str, AfterValidator(forcible)]]
    plan_only: bool
    yes: bool


class Config(Model):
    """The whole config, validated: the top, the groups, and the stages of the chosen chain."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    top: Top
    groups: dict[str, Any]
    stages: dict[str, Any]
    dropped: tuple[str, ...] = ()  # nodes of stages outside the chain that an experiment had set

    @property
    def dataset_name(self) -> str:
        """The folder of the store that the dataset's artifacts lie in: its module's name."""
        return type(self.dataset).__module__.rpartition(".")[2]

    @property
    def dataset(self) -> "Dataset":
        return self.groups["dataset"]

    @property
    def backbone(self) -> "Backbone":
        return self.groups["backbone"]

    @property
    def captioner(self) -> "Captioner":
        return self.groups["captioner"]

    @property
    def reasoner(self) -> "Reasoner":
        return self.groups["reasoner"]

    @property
    def refiner(self) -> "Refiner":
        return self.groups["refiner"]

    @property
    def prompt(self) -> "Prompt":
        return self.groups["prompt"]

    @property
    def reward(self) -> "dict[str, Reward]":
        return self.groups["reward"]

    @property
    def algorithm(self) -> "Algorithm":
        return self.groups["algorithm"]

    @property
    def recommender(self) -> "dict[str, Recommender]":
        return self.groups["recommender"]

    @property
    def tracking(self) -> "Tracking":
        return self.groups["tracking"]

    @property
    def parallel(self) -> "Parallel":
        return self.groups["parallel"]

    @property
    def goal(self) -> "Stage":
        return self.stages[self.top.goal]


def component(node: Mapping[str, Any], path: str, package: str) -> Any:
    """Instantiate the component that ``_target_`` names, if it lies in ``mllmrec.<package>``.

    Raises:
        Refusal: the target lies elsewhere or does not exist.
        ValidationError: a value is unknown, ill-typed or out of range.
    """
    target, home = str(node.get(TARGET, "")), f"mllmrec.{package}"
    module, _, name = target.rpartition(".")
    try:
        if module != home and not module.startswith(home + "."):
            raise ImportError("not a component of mllmrec")
        kind = getattr(import_module(module), name)
        if not (isinstance(kind, type) and issubclass(kind, Model)):
            raise AttributeError(f"{name} is no component")
    except (ImportError, AttributeError) as error:
        raise Refusal(
            f"{path}.{TARGET}={target!r}: {error}",
            allowed=f"a class of {home}",
            do=f"choose one by {package.replace('.', '/')}=NAME;"
            " `python launch.py --help` lists them",
        ) from error
    return kind.model_validate({key: value for key, value in node.items() if key != TARGET})


def validate(tree: Mapping[str, Any], *, typed: Collection[str] = ()) -> Config:
    """Turn the composed config into typed, frozen models, collecting every fault first.

    ``typed`` are the dotted keys that the user typed; a node of a stage outside the chosen chain
    is dropped (an experiment may set it) unless its key was typed.

    Raises:
        Refusal: all faults found, one a line.
    """
    rest, dropped = split_off_dropped(tree, frozenset(key.split(".")[0] for key in typed))
    faults = [f"{name}: none is chosen" for name in GROUPS if name not in {*rest, *NAMED}]
    made: dict[str, Any] = {name: {} for name in NAMED}
    for path, node in rest.items():
        if isinstance(node, Mapping):
            made[path] = gather(path, node, faults)
    try:
        top = Top.model_validate({k: v for k, v in rest.items() if not isinstance(v, Mapping)})
    except ValidationError as error:
        faults += [describe(fault, "", Top) for fault in error.errors()]
    if faults:
        raise Refusal(
            "; ".join(faults),
            allowed="names and ranges as `python launch.py --help` and the files of conf/ say",
            do=f"type {(knob := faults[0].split('=')[0].split(':')[0])}="
            f"{'NAME' if knob in GROUPS else 'VALUE'}; "
            "`python launch.py --cfg job` shows every knob and its value",
        )
    groups = {name: made[name] for name in GROUPS if name in made}
    groups["words"] = groups["dataset"].words
    stages = {name: stage for name, stage in made.items() if name not in GROUPS}
    adopted = bool(getattr(stages.get("caption"), "adopt", None))
    groups["prompt"] = groups["prompt"].settled(lambda: adopted or groups["dataset"].has_pictures)
    config = Config(top=top, groups=groups, stages=stages, dropped=dropped)
    for name, stage in stages.items():
        stage.check(config)
        own = (key.removeprefix(f"{name}.") for key in typed if key.startswith(f"{name}."))
        stage.check_typed(frozenset(own))
    return config


def split_off_dropped(
    tree: Mapping[str, Any], typed: frozenset[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    orphans = {path for path in STAGES if TARGET not in tree.get(path, {TARGET: None})}
    for path in sorted(orphans & typed):
        known = [p for p, node in tree.items() if isinstance(node, Mapping) and p not in orphans]
        raise outside(path, tree["goal"], known)
    kept = {path: node for path, node in tree.items() if path not in orphans}
    return kept, tuple(sorted(orphans))


def outside(path: str, goal: str, known: Iterable[str]) -> Refusal:
    """What to say of a node that was typed although the goal does not stand on its stage."""
    return Refusal(
        f"{path}: stage={goal} does not stand on it",
        allowed=f"here: {', '.join(known)}",
        do=f"type stage={path}, or leave {path}.… out",
    )


def gather(path: str, node: Mapping[str, Any], faults: list[str]) -> Any:
    """The component or the named components at one key; faults are appended, not raised."""
    if path not in GROUPS and path not in STAGES:
        faults.append(f"{path}: unknown knob, known: {', '.join(sorted(Top.model_fields))}")
        return None
    if path in NAMED:
        return {
            name: gather_one(f"{path}.{name}", part, path, faults) for name, part in node.items()
        }
    return gather_one(path, node, path if path in GROUPS else "stage", faults)


def gather_one(path: str, node: Any, package: str, faults: list[str]) -> Any:
    if not isinstance(node, Mapping):
        faults.append(f"{path}={node!r}: not a component")
        return None
    if package == COMPOSED:
        before = len(faults)
        node = {key: gather_parts(f"{path}.{key}", part, faults) for key, part in node.items()}
        if len(faults) > before:
            return None
    try:
        return component(node, path, package)
    except Refusal as refusal:
        faults.append(f"{refusal.wrong} ({refusal.allowed})")
    except ValidationError as error:
        kind = getattr(import_module(node[TARGET].rpartition(".")[0]), node[TARGET].split(".")[-1])
        faults += [describe(fault, path + ".", kind) for fault in error.errors()]
    return None


def gather_parts(path: str, node: Any, faults: list[str]) -> Any:
    """A part of a composition, or several by name; anything else as it is."""
    if not isinstance(node, Mapping) or TARGET in node:
        return gather_one(path, node, path, faults) if isinstance(node, Mapping) else node
    lost = [name for name, part in node.items() if isinstance(part, Mapping) and TARGET not in part]
    faults += [f"{path}.{name}: this part is not chosen" for name in lost]
    kept = {name: part for name, part in node.items() if name not in lost}
    return {name: gather_one(f"{path}.{name}", part, path, faults) for name, part in kept.items()}
