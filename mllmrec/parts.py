"""What was typed of an algorithm's parts, and what to type where it is said in another way.

A part is chosen with a slash, ``algorithm/policy=cispo``, and set with a dot,
``algorithm.policy.epsilon_high=5``; named parts are a list, ``algorithm/shaping=[memory]``.
"""

import difflib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from mllmrec.algorithm.base import NAMED_PARTS, Algorithm
from mllmrec.errors import Refusal
from mllmrec.schema import COMPOSED, TARGET

KINDS = tuple(Algorithm.model_fields)
# What TRL calls what a part says, by value; {} stands for any other, where there may be others.
TRL = {
    "loss_type": {
        "grpo": "algorithm.policy.averaging=sequence",
        "dapo": "algorithm.policy.averaging=token",
        "dr_grpo": "algorithm.policy.averaging=constant",
    },
    "scale_rewards": {
        "true": "algorithm.advantage.scale=group",
        "false": "algorithm.advantage.scale=none",
        "{}": "algorithm.advantage.scale={}",
    },
    "importance_sampling_level": {"{}": "algorithm.policy.level={}"},
    "num_iterations": {"{}": "grpo.num_iterations={}"},
}

Others = Callable[[], Any]  # composes what else was typed; None where it does not compose


def options(group: str) -> list[str]:
    """What a group offers, in conf/ and in the user's own folders."""
    return sorted(GlobalHydra.instance().config_loader().get_group_options(group))


def split(word: str) -> tuple[list[str], str, Any]:
    """The names of a dotted key, what was typed behind =, and its value as Hydra reads it."""
    key, _, text = word.lstrip("+~").partition("=")
    try:
        value = OverridesParser.create().parse_override(word).value()
    except HydraException:
        value = text
    return key.partition("@")[0].split("."), text, value


def check_word(word: str, others: Others) -> None:
    """Refuse a word that is no knob of a composition: a part is chosen otherwise, or has it.

    Raises:
        Refusal: ``algorithm.KIND=…``, ``KIND=…``, or ``algorithm.KNOB=…`` without its part; a
            choice with a sign, of nothing, or of several where there is one.
    """
    check_choice(word)
    names, text, value = split(word)
    if len(names) == 1 and names[0] in KINDS:
        raise chosen_by_slash(names[0], value, word)
    if names[0] != COMPOSED or len(names) < 2:
        return
    if word.startswith("~"):
        check_removed(names[1:], word, others)
        return
    if names[1] not in KINDS:
        raise misplaced(names[1:], text, others)
    if len(names) == 2 and not isinstance(value, Mapping):
        raise chosen_by_slash(names[1], value, word)


def check_choice(word: str) -> None:
    """Refuse a choice of ``algorithm`` or of a kind that Hydra's grammar has and we do not."""
    key = word.lstrip("+~").partition("=")[0]
    group, at, _ = key.partition("@")
    group = group.replace(".", "/") if word.startswith("~") else group
    above, _, kind = group.partition("/")
    if above != COMPOSED or (kind and kind not in KINDS) or (kind == "" and group != COMPOSED):
        return
    value, is_named = split(word)[2], kind in NAMED_PARTS
    faults = {
        "taken away with an empty list" if is_named else "one is always there": word[0] == "~",
        "chosen without +": word[0] == "+",
        "chosen without @": bool(at),
        "nothing is no choice": value is None,
        "one is chosen, by its name": isinstance(value, list | Mapping) and not is_named,
    }
    if not any(faults.values()):
        return
    known = options(group)
    wanted = [] if word[0] == "~" else value if isinstance(value, list) else [value]
    names = [one for one in wanted if one in known]
    choice = f"[{','.join(names)}]" if is_named else (names or ["NAME"])[0]
    raise Refusal(
        f"{word}: {next(said for said, is_so in faults.items() if is_so)}",
        allowed=f"{group}: {', '.join(known)}",
        do=f"type {shlex.quote(f'{group}={choice}')}",
    )


def check_removed(names: Sequence[str], word: str, others: Others) -> None:
    """Refuse ``~algorithm.KIND.NAME``: named parts are a list, typed without it."""
    if len(names) != 2 or names[0] not in NAMED_PARTS:
        return
    group = f"{COMPOSED}/{names[0]}"
    chosen = chosen_names(others(), names[0])
    left = ",".join(name for name in chosen if name != names[1])
    raise Refusal(
        f"{word}: named parts are taken away by a list without them",
        allowed=f"{group}: {', '.join(options(group))}; chosen: {', '.join(chosen) or 'none'}",
        do=f"type {shlex.quote(f'{group}=[{left}]')}",
    )


def chosen_by_slash(kind: str, value: Any, word: str) -> Refusal:
    group, known = f"{COMPOSED}/{kind}", options(f"{COMPOSED}/{kind}")
    wanted = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    near = [(difflib.get_close_matches(one, known, n=1) or ["NAME"])[0] for one in wanted]
    choice = f"[{','.join(near)}]" if kind in NAMED_PARTS else near[0]
    is_old = kind == "rollout" and wanted == ["exact"]
    return Refusal(
        f"{word}: a part is chosen with a slash",
        allowed=f"{group}: {', '.join(known)}",
        do=f"type {COMPOSED}=exact" if is_old else f"type {shlex.quote(f'{group}={choice}')}",
    )


def misplaced(names: Sequence[str], text: str, others: Others) -> Refusal:
    """What to say of ``algorithm.NAMES=TEXT`` where the first name is no kind of part."""
    rest, value = ".".join(names), text or "VALUE"
    knob = f"{COMPOSED}.{rest}"
    if len(names) == 1 and (meant := TRL.get(names[0])):
        do = meant.get(value.lower()) or meant.get("{}", "").format(value)
        if not do:
            return other_loss(f"{knob}={value}", value, meant)
        return Refusal(
            f"{knob}: TRL's name of what a part says", allowed=do.partition("=")[0], do=f"type {do}"
        )
    if len(names) > 1 and (meant_kind := difflib.get_close_matches(names[0], KINDS, n=1)):
        mended = ".".join([COMPOSED, meant_kind[0], *names[1:]])
        return Refusal(
            f"{COMPOSED}.{names[0]}: no kind of part",
            allowed=f"{COMPOSED}: {', '.join(KINDS)}",
            do=f"type {shlex.quote(f'{mended}={value}')}",
        )
    if homes := [*having(rest, others())]:
        words = [shlex.quote(f"{home}.{rest}={value}") for home in homes]
        return Refusal(
            f"{knob}: a part's knob, and no part is named",
            allowed=", ".join(f"{home}.{rest}" for home in homes),
            do=f"type {', or '.join(words)}",
        )
    if elsewhere := [*offering(rest)]:
        kind, name = elsewhere[0]
        return Refusal(
            f"{knob}: no knob of the parts that are chosen",
            allowed=f"{', '.join(f'{COMPOSED}/{k}={n}' for k, n in elsewhere)} has it",
            do=f"type {COMPOSED}/{kind}={name} " + shlex.quote(f"{COMPOSED}.{kind}.{rest}={value}"),
        )
    return Refusal(
        f"{knob}: no kind of part",
        allowed=f"{COMPOSED}: {', '.join(KINDS)}",
        do="`python launch.py --help` lists the parts, `python launch.py --cfg job` their knobs",
    )


def other_loss(typed: str, value: str, meant: Mapping[str, str]) -> Refusal:
    """What to say of a loss of TRL's that is no averaging of ours: a part, or not there."""
    group, known = f"{COMPOSED}/policy", options(f"{COMPOSED}/policy")
    is_part = value in known
    return Refusal(
        f"{typed}: TRL's name of what a part says" if is_part else f"{typed}: not there",
        allowed=f"{', '.join(meant)} by algorithm.policy.averaging; {group}: {', '.join(known)}",
        do=f"type {group}={value}" if is_part else f"type {group}=NAME with one of these",
    )


def chosen_parts(tree: Any) -> dict[str, Any]:
    """The parts of the algorithm by kind, in a composed tree, or in what was made of one."""
    node: Any = tree.get(COMPOSED) if tree is not None else None
    node = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    kinds = node.items() if isinstance(node, Mapping) else ()
    return {kind: part for kind, part in kinds if isinstance(part, Mapping)}


def chosen_names(tree: Any, kind: str) -> list[str]:
    """The names of the parts of a kind that are chosen, not only given knobs."""
    return [name for name, part in chosen_parts(tree).get(kind, {}).items() if is_chosen(part)]


def is_chosen(part: Any) -> bool:
    return isinstance(part, Mapping) and TARGET in part


def having(rest: str, tree: Any) -> Iterator[str]:
    """The chosen parts that have such a knob, the loss first."""
    node = chosen_parts(tree)
    for kind in sorted(KINDS, key=lambda kind: kind != "policy"):
        part = node.get(kind) or {}
        for name, one in part.items() if kind in NAMED_PARTS else [("", part)]:
            if isinstance(one, Mapping) and rest.partition(".")[0] in one:
                yield f"{COMPOSED}.{kind}.{name}".rstrip(".")


def offering(rest: str) -> Iterator[tuple[str, str]]:
    """The parts that are not chosen and have such a knob, of the kinds of which there is one."""
    for kind in KINDS:
        if kind not in NAMED_PARTS:
            yield from ((kind, name) for name in options_with(f"{COMPOSED}/{kind}", rest))


def options_with(group: str, rest: str) -> list[str]:
    """The choices of a group that have a knob, in their own files."""
    repository = GlobalHydra.instance().config_loader().repository
    found = []
    for name in options(group):
        file = repository.load_config(f"{group}/{name}")
        if file is not None and rest.partition(".")[0] in file.config:
            found.append(name)
    return found


def unchosen(word: str, tree: Any) -> Refusal | None:
    """What to say of a knob of a named part that is not there."""
    names, _, _ = split(word)
    if names[0] != COMPOSED or len(names) < 3 or names[1] not in NAMED_PARTS or tree is None:
        return None
    kind, name = names[1], names[2]
    chosen = chosen_names(tree, kind)
    return None if name in chosen else not_chosen(kind, name, chosen, word.lstrip("+"))


def not_chosen(kind: str, name: str, chosen: Sequence[str], word: str | None = None) -> Refusal:
    """What to say of knobs of a named part that is not there; ``word`` set one, if typed."""
    group, near = f"{COMPOSED}/{kind}", difflib.get_close_matches(name, chosen, n=1)
    meant = (near or difflib.get_close_matches(name, options(group), n=1) or ["NAME"])[0]
    words = [] if near else [f"{group}=[{','.join([*chosen, meant])}]"]
    words += [word.replace(f".{name}.", f".{meant}.", 1)] if word else []
    return Refusal(
        f"{COMPOSED}.{kind}.{name}: this part is not chosen",
        allowed=f"{group}: {', '.join(options(group))}; chosen: {', '.join(chosen) or 'none'}",
        do=f"type {shlex.join(words)}" if words else f"write {meant} for {name} in its file",
    )


def unknown_group(typed: str, word: str) -> Refusal | None:
    """What to say of ``algorithm/polcy=…``; None where the group above is none either."""
    above, _, name = typed.rpartition("/")
    known = GlobalHydra.instance().config_loader().list_groups(above) if above else []
    if not known:
        return None
    near = difflib.get_close_matches(name, known, n=1)
    group = f"{above}/{near[0] if near else 'GROUP'}"
    choice = word.partition("=")[2]
    choice = choice if near and choice.strip("[]") in options(group) else "NAME"
    return Refusal(
        f"{typed}: there is no such group",
        allowed=f"{above}/…: {', '.join(sorted(known))}",
        do=f"type {shlex.quote(f'{group}={choice}')}",
    )
