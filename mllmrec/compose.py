"""Compose and validate what was typed, every point of a grid, before anything is begun.

Hydra would start job 0 before it composes job 1, prints advice that is wrong for us (`+typo=1`),
and knows no ranges; so the same composition is done once more beforehand, and told in our words.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
from hydra.initialize import get_gh_backup, restore_gh_from_backup
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mllmrec.errors import Refusal
from mllmrec.overrides import (
    check_chosen,
    check_parts,
    is_swept,
    not_composed,
    quoted,
    typed_keys,
    unknown_option,
    unreadable,
)
from mllmrec.schema import Config, validate
from mllmrec.tracking.agent import refuse_multirun_under_agent

__all__ = ["check", "compose_one", "composing", "grid", "typed_keys"]


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
    if args.config_path:  # as Hydra takes it: absolute, or relative to launch.py
        conf = conf.parent / args.config_path
    points = grid(args.overrides) if args.multirun else [list(args.overrides)]
    refuse_missing(args.config_dir)
    search = searched(args.config_dir, args.overrides) if args.config_dir else []
    with initialize_config_dir(version_base="1.3", config_dir=str(conf)):
        for point in points:
            compose_one(point, search, name)
    refuse_unwritable(conf / f"{name}.yaml", args.overrides, "sweep" if args.multirun else "run")


@contextmanager
def composing(conf: Path) -> Iterator[None]:
    """Compose from this folder, also within a launch that was composed from another."""
    backup = get_gh_backup()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf)):
            yield
    finally:
        restore_gh_from_backup(backup)


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


def look_in(words: Sequence[str], name: str) -> None:
    """Have groups looked up where configs are composed from: in the user's own folders too."""
    loader: Any = GlobalHydra.instance().config_loader()
    places = [word for word in words if typed_keys([word]) == ["hydra.searchpath"]]
    with suppress(HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError):  # told later
        _, found = loader._parse_overrides_and_create_caching_repo(name, places)
        loader.repository = found.delegate


def compose_one(overrides: Sequence[str], search: Sequence[str], name: str) -> Config:
    """The validated config of one job.

    Raises:
        Refusal: what was typed does not compose or does not validate.
    """
    look_in([*search, *overrides], name)
    check_parts(overrides, search, name)
    try:
        # of two searchpaths the first counts
        tree = compose(name, overrides=[*search, *overrides], return_hydra_config=True)
        choices = OmegaConf.to_container(tree.hydra.runtime.choices)
        OmegaConf.set_struct(tree, False)
        del tree["hydra"]
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
    check_chosen(overrides, plain, choices)
    return validate(plain, typed=typed_keys(overrides))  # type: ignore[arg-type]
