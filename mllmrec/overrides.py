"""What was typed, and in our words what is wrong with it where it does not compose."""

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mllmrec import parts, swaps
from mllmrec.algorithm.base import NAMED_PARTS
from mllmrec.errors import Refusal
from mllmrec.schema import COMPOSED, GROUPS, STAGES, outside, validate

SHOWN = "`python launch.py --help` lists groups, `python launch.py --cfg job` every knob"


def typed_keys(overrides: Sequence[str]) -> list[str]:
    """The dotted keys that were typed, without Hydra's signs for adding and removing."""
    return [word.lstrip("+~").partition("=")[0].partition("@")[0] for word in overrides]


def quoted(text: str) -> str:
    """A text as Hydra's grammar takes any: in quotes."""
    return '"' + text.replace('"', '\\"') + '"'


def is_swept(word: str) -> bool:
    """Whether an override gives several values."""
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
        return bool(override.is_sweep_override())
    except HydraException as error:
        raise unreadable(error) from error


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


def check_parts(overrides: Sequence[str], search: Sequence[str], name: str) -> None:
    """Refuse words of an algorithm's parts that are said in another way, before composing."""
    for n, word in enumerate(overrides):
        others = [*overrides[:n], *overrides[n + 1 :]]
        parts.check_word(word, partial(composed_without, others, search, name))


def check_chosen(overrides: Sequence[str], tree: Any, choices: Any) -> None:
    """Refuse knobs of parts that are not chosen: those typed, and those of the composition."""
    for word in overrides:
        if refusal := parts.unchosen(word, tree):
            raise refusal
    swaps.check_said(tree, choices)
    keys = typed_keys(overrides)
    if COMPOSED in keys:
        swaps.check_replaced(keys, choices, tree)
    swaps.check_swapped(choices, tree)


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
    if refusal := parts.unknown_group(typed, word) or parts.unchosen(word, tree):
        return refusal
    group, choices = offering(key, tree, search, name)
    if choices:
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


def offering(key: str, tree: Any, search: Sequence[str], name: str) -> tuple[str, list[str]]:
    """The group that a knob is of, and its other choices that have one of this name."""
    group, _, rest = key.partition(".")
    if group == COMPOSED:
        kind, _, rest = rest.partition(".")
        group = f"{COMPOSED}/{kind}"
        is_one = kind in parts.KINDS and kind not in NAMED_PARTS
        return group, parts.options_with(group, rest) if rest and is_one else []
    if group not in GROUPS or not rest or tree is None:
        return group, []
    found = []
    for choice in parts.options(group):
        try:
            other = compose(name, overrides=[*search, f"{group}={choice}"])
            if choice != "none" and has(other, key):
                found.append(choice)
        except (HydraException, OmegaConfBaseException):
            continue
    return group, found


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
