"""Compose and validate what was typed, every point of a grid, before anything is begun.

Hydra would start job 0 before it composes job 1, prints advice that is wrong for us (`+typo=1`),
and knows no ranges; so the same composition is done once more beforehand, and told in our words.
"""

import difflib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mllmrec.errors import Refusal
from mllmrec.schema import GROUPS, STAGES, Config, outside, validate
from mllmrec.tracking import refuse_multirun_under_agent

SHOWN = "`python launch.py --help` lists groups, `python launch.py --cfg job` every knob"


def check(argv: Sequence[str], conf: Path) -> None:
    """Refuse a command line whose config, at any point of its grid, is not valid.

    Raises:
        Refusal: the first point that does not compose or validate.
    """
    args, _ = get_args_parser().parse_known_args(list(argv))
    only_shown = args.help or args.hydra_help or args.cfg or args.info or args.shell_completion
    if only_shown or args.experimental_rerun:
        return
    if args.multirun:
        refuse_multirun_under_agent()
    name = args.config_name or "config"
    points = grid(args.overrides) if args.multirun else [list(args.overrides)]
    refuse_missing(args.config_dir)
    search = searched(args.config_dir, args.overrides) if args.config_dir else []
    with initialize_config_dir(version_base="1.3", config_dir=str(conf)):
        for point in points:
            compose_one(point, search, name)
    refuse_unwritable(conf / f"{name}.yaml", args.overrides, "sweep" if args.multirun else "run")


def refuse_missing(config_dir: str | None) -> None:
    """Refuse a folder of the user's own groups that is not there; Hydra would only warn."""
    given = {"--config-dir": config_dir, "MLLMREC_CONF": os.environ.get("MLLMREC_CONF")}
    for source, folder in given.items():
        if folder and "://" not in folder and not Path(folder).is_dir():
            raise Refusal(
                f"{source}={folder}: no such folder",
                allowed="a folder with groups of your own, dataset/mine.yaml for example",
                do=f"give {source} a folder that is there, or leave it out",
            )


def searched(folder: str, overrides: Sequence[str]) -> list[str]:
    """What ``--config-dir`` means to ``compose``, which has no such flag.

    It comes before what is typed as hydra.searchpath, or else before MLLMREC_CONF.
    """
    others = [os.environ["MLLMREC_CONF"]] if os.environ.get("MLLMREC_CONF") else []
    typed = [word for word in overrides if typed_keys([word]) == ["hydra.searchpath"]]
    try:
        for override in OverridesParser.create().parse_overrides(typed):
            others = [str(place) for place in override.value()]
    except (HydraException, TypeError) as error:
        raise unreadable(error) from error
    places = [f"file://{Path(folder).absolute()}", *others]
    return [f"hydra.searchpath=[{','.join(map(quoted, places))}]"]


def quoted(text: str) -> str:
    """A text as Hydra's grammar takes any: in quotes."""
    return '"' + text.replace('"', '\\"') + '"'


def refuse_unwritable(root: Path, overrides: Sequence[str], mode: str) -> None:
    """Refuse a run folder that cannot be made; Hydra would end in a traceback."""
    key = f"hydra.{mode}.dir"
    tree: Any = OmegaConf.to_container(OmegaConf.load(root)) if root.exists() else {}
    places = [
        word.partition("=")[2].strip("'\"") for word in overrides if typed_keys([word]) == [key]
    ]
    place = places[-1] if places else tree.get("hydra", {}).get(mode, {}).get("dir", "")
    fixed = place.partition("${")[0].rpartition("/")[0] if "${" in place else place
    folder = Path(fixed).absolute()
    while not folder.exists():
        folder = folder.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise Refusal(
            f"{key}={place}: {folder} cannot be written, or is no folder",
            allowed="a folder that you may write to, for what a run tells",
            do=f"type {key}=DIR, or repeat the command in another folder",
        )


def grid(overrides: Sequence[str]) -> list[list[str]]:
    """The points of a grid, as Hydra's own sweeper expands it."""
    if any(word.startswith("hydra/sweeper=") for word in overrides):
        # another sweeper chooses its points while it runs; what they share can be looked at
        return [[word for word in overrides if not is_swept(word)]]
    for word in overrides:
        is_swept(word)  # refuses what cannot be read, by the word
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        return BasicSweeper.split_arguments(parsed, None)[0]
    except HydraException as error:
        raise unreadable(error) from error


def is_swept(word: str) -> bool:
    """Whether an override gives several values."""
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
        return bool(override.is_sweep_override())
    except HydraException as error:
        raise unreadable(error) from error


def compose_one(overrides: Sequence[str], search: Sequence[str], name: str) -> Config:
    """The validated config of one job.

    Raises:
        Refusal: what was typed does not compose or does not validate.
    """
    try:
        tree = compose(name, overrides=[*search, *overrides])  # of two searchpaths the first counts
        plain = OmegaConf.to_container(tree, resolve=True)
    except MissingConfigException as error:
        raise unknown_option(error) from error
    except yaml.YAMLError as error:
        raise Refusal(
            f"a config file is no YAML: {' '.join(str(error).split())}",
            allowed="the form of the files in conf/",
            do="mend the file and line that are named",
        ) from error
    except OverrideParseException as error:
        raise unreadable(error) from error
    except ConfigCompositionException as error:
        raise not_composed(error, overrides, search, name) from error
    except (OmegaConfBaseException, ValueError) as error:  # ValueError: dataset=3 and the like
        raise unreadable(error) from error
    return validate(plain, typed=typed_keys(overrides))  # type: ignore[arg-type]


def typed_keys(overrides: Sequence[str]) -> list[str]:
    """The dotted keys that were typed, without Hydra's signs for adding and removing."""
    return [word.lstrip("+~").partition("=")[0].partition("@")[0] for word in overrides]


def unknown_option(error: MissingConfigException) -> Refusal:
    group, _, choice = (error.missing_cfg_file or "").rpartition("/")
    loader = GlobalHydra.instance().config_loader()
    options = list(error.options or loader.get_group_options(group))  # Hydra gives none for lists
    near = difflib.get_close_matches(choice, options, n=1)
    return Refusal(
        f"{group or 'config'}={choice}: there is no such choice",
        allowed=f"{group}: {', '.join(sorted(options))}" if options else SHOWN,
        do=f"type {group}={near[0]}" if near else f"type {group}=NAME with one of these",
    )


def unreadable(error: Exception) -> Refusal:
    return Refusal(
        " ".join(str(error).split()),
        allowed="group=choice and knob=value, in quotes where the shell would take it apart",
        do=in_quotes(getattr(error, "override", None)) or SHOWN,
    )


def in_quotes(word: str | None) -> str | None:
    """The word with its value in quotes, where it can be read so; None for lists and the like."""
    key, equals, value = (word or "").partition("=")
    if not equals or not value or value[0] in "[{(\"'":
        return None
    mended = f"{key}={quoted(value)}"
    try:
        OverridesParser.create().parse_override(mended)
    except HydraException:
        return None
    return f"type {shlex.quote(mended)}"


def not_composed(
    error: Exception, overrides: Sequence[str], search: Sequence[str], name: str
) -> Refusal:
    found = re.search(r"Could not override '([^']+)'", str(error))
    if found is None:
        return unreadable(error)
    typed = found.group(1)
    word = next((word for word in overrides if typed_keys([word]) == [typed]), typed)
    others = [word for word in overrides if typed_keys([word]) != [typed]]
    tree = composed_without(others, search, name)
    stage = typed.partition(".")[0]
    key = getattr(error.__cause__, "full_key", None) or typed
    key = key if key.startswith(f"{typed}.") else typed  # typed as {…}, and a key in there is wrong
    parent, _, leaf = key.rpartition(".")
    if tree and stage in STAGES and stage not in tree:
        return outside(stage, tree["goal"], sorted(k for k in tree if OmegaConf.is_dict(tree[k])))
    known = siblings(parent, tree)
    if choices := offering(key, tree):
        group = key.partition(".")[0]
        return Refusal(
            f"{key}: no knob of the {group} that is chosen",
            allowed=f"{group}={', '.join(choices)} has it",
            do=f"type {group}={choices[0]} {shlex.quote(word)}",
        )
    if is_open(parent, tree):
        return Refusal(
            f"{key}: not there yet",
            allowed=f"{parent}: any key, a new one with + before it",
            do=f"type {added(word, known)}",
        )
    near = difflib.get_close_matches(leaf, known, n=1)
    dot = f"{parent}." if parent else ""
    return Refusal(
        f"{key}: unknown knob",
        allowed=f"{parent or 'top'}: {', '.join(known)}" if known else SHOWN,
        do=f"type {dot}{near[0]}=VALUE" if near else SHOWN,
    )


def composed_without(overrides: Sequence[str], search: Sequence[str], name: str) -> Any:
    """The config of the other overrides, or None where they do not compose either."""
    try:
        return compose(name, overrides=[*search, *overrides])
    except (HydraException, OmegaConfBaseException):
        return None


def offering(key: str, tree: Any) -> list[str]:
    """The other choices of a group that have a knob of this name."""
    group, _, rest = key.partition(".")
    if group not in GROUPS or not rest or tree is None:
        return []
    found = []
    for choice in GlobalHydra.instance().config_loader().get_group_options(group):
        try:
            other = compose("config", overrides=[f"{group}={choice}"])
            if choice != "none" and has(other, key):
                found.append(choice)
        except (HydraException, OmegaConfBaseException):
            continue
    return found


def has(tree: Any, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(tree, parent)
    return OmegaConf.is_dict(node) and leaf in node


def siblings(parent: str, tree: Any) -> list[str]:
    """The keys beside an unknown one."""
    try:
        node = OmegaConf.select(tree, parent) if parent else tree
        return sorted(str(key) for key in node if key != "_target_")
    except (OmegaConfBaseException, TypeError):
        return []


def is_open(parent: str, tree: Any) -> bool:
    """Whether a node of a stage takes any key: a dictionary, not a model that names its own."""
    stage, *names = parent.split(".")
    try:
        node = validate(OmegaConf.to_container(tree, resolve=True)).stages[stage]  # type: ignore[arg-type]
        for name in names:
            node = getattr(node, name)
    except (Refusal, OmegaConfBaseException, ValueError, KeyError, AttributeError):
        return False
    return isinstance(node, Mapping)


def added(word: str, known: Sequence[str]) -> str:
    """The words that say the same as one that sets keys of an open node, + before the new ones."""
    override = OverridesParser.create().parse_override(word)
    value = override.value()
    if not isinstance(value, Mapping):
        return shlex.quote(f"+{word}")
    words = [
        f"{'' if str(name) in known else '+'}{override.key_or_group}.{name}="
        f"{'null' if one is None else one}"
        for name, one in value.items()
    ]
    return " ".join(map(shlex.quote, words))
