"""Compose and validate what was typed, every point of a grid, before anything is begun.

Hydra would start job 0 before it composes job 1, prints advice that is wrong for us (`+typo=1`),
and knows no ranges; so the same composition is done once more beforehand, and told in our words.
"""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from mllmrec.schema import STAGES, Config, outside, validate
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
    searched = [args.config_dir, os.environ.get("MLLMREC_CONF")]
    extra = [f"file://{Path(folder).absolute()}" for folder in searched if folder]
    search = [f"hydra.searchpath=[{','.join(extra)}]"] if extra else []
    points = grid(args.overrides) if args.multirun else [list(args.overrides)]
    with initialize_config_dir(version_base="1.3", config_dir=str(conf)):
        for point in points:
            compose_one(point, search, args.config_name or "config")


def grid(overrides: Sequence[str]) -> list[list[str]]:
    """The points of a grid, as Hydra's own sweeper expands it."""
    if any(word.startswith("hydra/sweeper=") for word in overrides):
        return []  # another sweeper chooses its points while it runs
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        return BasicSweeper.split_arguments(parsed, None)[0]
    except HydraException as error:
        raise unreadable(error) from error


def compose_one(overrides: Sequence[str], search: Sequence[str], name: str) -> Config:
    """The validated config of one job.

    Raises:
        Refusal: what was typed does not compose or does not validate.
    """
    try:
        tree = compose(name, overrides=[*overrides, *search])
        plain = OmegaConf.to_container(tree, resolve=True)
    except MissingConfigException as error:
        raise unknown_option(error) from error
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
        do=SHOWN,
    )


def not_composed(
    error: Exception, overrides: Sequence[str], search: Sequence[str], name: str
) -> Refusal:
    found = re.search(r"Could not override '([^']+)'", str(error))
    if found is None:
        return unreadable(error)
    typed = found.group(1)
    others = [word for word in overrides if word.lstrip("+~").partition("=")[0] != typed]
    tree = composed_without(others, search, name)
    stage = typed.partition(".")[0]
    parent, _, leaf = typed.rpartition(".")
    if tree and stage in STAGES and stage not in tree:
        return outside(stage, tree["goal"], sorted(k for k in tree if OmegaConf.is_dict(tree[k])))
    known = siblings(parent, tree)
    near = difflib.get_close_matches(leaf, known, n=1)
    dot = f"{parent}." if parent else ""
    return Refusal(
        f"{typed}: unknown knob",
        allowed=f"{parent or 'top'}: {', '.join(known)}" if known else SHOWN,
        do=f"type {dot}{near[0]}=VALUE" if near else SHOWN,
    )


def composed_without(overrides: Sequence[str], search: Sequence[str], name: str) -> Any:
    """The config of the other overrides, or None where they do not compose either."""
    try:
        return compose(name, overrides=[*overrides, *search])
    except (HydraException, OmegaConfBaseException):
        return None


def siblings(parent: str, tree: Any) -> list[str]:
    """The keys beside an unknown one."""
    try:
        node = OmegaConf.select(tree, parent) if parent else tree
        return sorted(str(key) for key in node if key != "_target_")
    except (OmegaConfBaseException, TypeError):
        return []
