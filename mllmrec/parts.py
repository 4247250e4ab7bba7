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
from mllmrec.launches import flat
from mllmrec.schema import COMPOSED, TARGET

KINDS = tuple(Algorithm.model_fields)
# What TRL calls what a part says, by value; {} stands for any other.
TRL = {
    "loss_type": {
        "grpo": "algorithm.policy.averaging=sequence",
        "dapo": "algorithm.policy.averaging=token",
        "bnpo": "algorithm.policy.averaging=token",
        "dr_grpo": "algorithm.policy.averaging=constant",
        "cispo": "algorithm/policy=cispo",
        "{}": "algorithm/policy={}",
    },
    "scale_rewards": {"{}": "algorithm.advantage.scale={}"},
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
        Refusal: ``algorithm.KIND=…``, ``KIND=…``, or ``algorithm.KNOB=…`` without its part.
    """
    names, text, value = split(word)
    if len(names) == 1 and names[0] in KINDS:
        raise chosen_by_slash(names[0], value, word)
    if names[0] != COMPOSED or len(names) < 2 or word.startswith("~"):
        return
    if names[1] not in KINDS:
        raise misplaced(names[1:], text, others)
    if len(names) == 2 and not isinstance(value, Mapping):
        raise chosen_by_slash(names[1], value, word)


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
        do = meant.get(value, meant["{}"]).format(value)
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


def chosen_parts(tree: Any) -> dict[str, Any]:
    """The node of the algorithm in a composed tree, or in what was made of one."""
    node: Any = tree[COMPOSED]
    return OmegaConf.to_container(node) if OmegaConf.is_config(node) else node  # type: ignore[return-value]


def having(rest: str, tree: Any) -> Iterator[str]:
    """The chosen parts that have such a knob, the loss first."""
    node = chosen_parts(tree) if tree is not None else {}
    for kind in sorted(KINDS, key=lambda kind: kind != "policy"):
        part = node.get(kind) or {}
        for name, one in part.items() if kind in NAMED_PARTS else [("", part)]:
            if rest.partition(".")[0] in one:
                yield f"{COMPOSED}.{kind}.{name}".rstrip(".")


def offering(rest: str) -> Iterator[tuple[str, str]]:
    """The parts that are not chosen and have such a knob, of the kinds of which there is one."""
    for kind in KINDS:
        if kind not in NAMED_PARTS:
            yield from ((kind, name) for name in options_with(f"{COMPOSED}/{kind}", rest))


def check_swapped(choices: Mapping[str, Any], tree: Any) -> None:
    """Refuse a composition whose own knobs would fall to another part than the one they are for.

    Raises:
        Refusal: with the parts and knobs that the composition has beside the one that was swapped.
    """
    name = str(choices.get(COMPOSED))
    own, knobs = composition(name)
    now = {kind: choices.get(f"{COMPOSED}/{kind}", part) for kind, part in own.items()}
    for kind in {*own} & {*NAMED_PARTS}:
        node = chosen_parts(tree).get(kind, {})
        now[kind] = [key for key, part in node.items() if TARGET in part]
    lost = {kind: [*node] for kind, node in knobs.items() if now[kind] != own[kind]}
    for kind in {*lost} & {*NAMED_PARTS}:
        lost[kind] = [key for key in lost[kind] if key not in now[kind]]
    if not any(lost.values()):
        return
    plain, _ = composition("grpo")
    words = [f"{COMPOSED}=grpo"]
    words += [f"{COMPOSED}/{kind}={listed(now[kind])}" for kind in now if now[kind] != plain[kind]]
    kept = {
        kind: {key: value for key, value in node.items() if key not in lost.get(kind, ())}
        for kind, node in knobs.items()
    }
    words += [f"{COMPOSED}.{key}={value}" for key, value in flat(kept) if value != {}]
    raise Refusal(
        f"{COMPOSED}={name} with "
        + ", ".join(f"{COMPOSED}/{kind}={listed(now[kind])}" for kind in lost)
        + ": it sets "
        + ", ".join(f"{COMPOSED}.{kind}.{key}" for kind, keys in lost.items() for key in keys)
        + f" for its own {', '.join(listed(own[kind]) for kind in lost)}",
        allowed="another part where a composition sets no knob of its own one",
        do=f"type {shlex.join(words)}",
    )


def composition(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The part of each kind, and the knobs of parts, that a composition's own file says."""
    file = GlobalHydra.instance().config_loader().repository.load_config(f"{COMPOSED}/{name}")
    if file is None:
        return {}, {}
    tree: Any = OmegaConf.to_container(file.config)
    chosen = {one.group: one.value for one in file.defaults_list or () if hasattr(one, "group")}
    own = {kind: chosen[kind] for kind in KINDS if kind in chosen}
    return own, {kind: tree[kind] for kind in own if tree.get(kind)}


def listed(choice: Any) -> str:
    """A choice as it is typed: the name of a part, or names of parts."""
    return choice if isinstance(choice, str) else f"[{','.join(choice)}]"


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
    kind, name, group = names[1], names[2], f"{COMPOSED}/{names[1]}"
    chosen = [key for key, part in chosen_parts(tree).get(kind, {}).items() if TARGET in part]
    if name in chosen:
        return None
    near = difflib.get_close_matches(name, chosen, n=1)
    meant = (near or difflib.get_close_matches(name, options(group), n=1) or ["NAME"])[0]
    words = [] if near else [f"{group}=[{','.join([*chosen, meant])}]"]
    words.append(word.lstrip("+").replace(f".{name}.", f".{meant}.", 1))
    return Refusal(
        f"{COMPOSED}.{kind}.{name}: this part is not chosen",
        allowed=f"{group}: {', '.join(options(group))}; chosen: {', '.join(chosen) or 'none'}",
        do=f"type {shlex.join(words)}",
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
