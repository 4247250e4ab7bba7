"""What files say of an algorithm's parts: of those that were typed, and in place of them.

A composition names its parts and sets knobs of them; an experiment may put others there.
"""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from pydantic import ValidationError

from mllmrec.algorithm.base import NAMED_PARTS
from mllmrec.errors import Refusal
from mllmrec.launches import flat
from mllmrec.parts import KINDS, chosen_names, chosen_parts, is_chosen, not_chosen, options
from mllmrec.schema import COMPOSED, TARGET, component

PLAIN = "grpo"  # the composition that others are told from


def check_said(tree: Any, choices: Mapping[str, Any]) -> None:
    """Refuse what a file says of parts so that none is chosen by it, once all is composed.

    Raises:
        Refusal: with the line to write in its defaults.
    """
    node: Any = tree.get(COMPOSED, {})
    file = file_of(choices)
    if not isinstance(node, Mapping):
        raise chosen_in_defaults(COMPOSED, node, file)
    for kind, part in node.items():
        if kind == TARGET:
            continue
        if kind not in KINDS:
            near = difflib.get_close_matches(str(kind), KINDS, n=1)
            raise Refusal(
                f"{COMPOSED}.{kind}: no kind of part, in {file}",
                allowed=f"{COMPOSED}: {', '.join(KINDS)}",
                do=f"write {near[0] if near else 'one of these'} for {kind} there",
            )
        if not isinstance(part, Mapping):
            raise chosen_in_defaults(f"{COMPOSED}/{kind}", part, file)
        for name, one in part.items() if kind in NAMED_PARTS else ():
            if not is_chosen(one):
                raise not_chosen(kind, str(name), chosen_names(tree, kind))


def file_of(choices: Mapping[str, Any]) -> str:
    """What to call the file that says something nobody typed."""
    experiment = choices.get("experiment")
    return f"experiment={experiment}" if experiment else "a file"


def chosen_in_defaults(group: str, value: Any, file: str) -> Refusal:
    """What to say of a file that has a part's name where its knobs belong."""
    known = options(group)
    wanted = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    names = [one for one in wanted if one in known]
    choice = f"[{','.join(names)}]" if group.rpartition("/")[2] in NAMED_PARTS else ""
    choice = choice or (names or ["NAME"])[0]
    return Refusal(
        f"{group.replace('/', '.')}={value!r}: knobs belong here, in {file}",
        allowed=f"{group}: {', '.join(known)}",
        do=f"take it out there, and type {shlex.quote(f'{group}={choice}')},"
        f" or write `- override /{group}: {choice}` in its defaults",
    )


def parts_now(own: Mapping[str, Any], choices: Mapping[str, Any], tree: Any) -> dict[str, Any]:
    """What is chosen of the kinds that a composition names."""
    return {
        kind: chosen_names(tree, kind)
        if kind in NAMED_PARTS
        else choices.get(f"{COMPOSED}/{kind}", part)
        for kind, part in own.items()
    }


def check_replaced(typed: Sequence[str], choices: Mapping[str, Any], tree: Any) -> None:
    """Refuse a file's part in place of one that makes the composition that was typed.

    Raises:
        Refusal: with the parts to type as well, and what the file sets that they do not take.
    """
    name = str(choices.get(COMPOSED))
    (own, _), (plain, _) = composition(name), composition(PLAIN)
    now = parts_now(own, choices, tree)
    lost = {
        kind: part
        for kind, part in own.items()
        if part != plain.get(kind) and f"{COMPOSED}/{kind}" not in typed
        if (set(part) - set(now[kind]) if kind in NAMED_PARTS else part != now[kind])
    }
    if not lost:
        return
    words = []
    for kind, part in lost.items():
        both = (
            [*now[kind], *(n for n in part if n not in now[kind])] if kind in NAMED_PARTS else part
        )
        words.append(f"{COMPOSED}/{kind}={listed(both)}")
        words += unfit(kind, part, choices) if kind not in NAMED_PARTS else []
    raise Refusal(
        f"{COMPOSED}={name}: {file_of(choices)} puts "
        + ", ".join(f"{COMPOSED}/{kind}={listed(now[kind])}" for kind in lost)
        + f" in place of its own {', '.join(map(listed, lost.values()))}",
        allowed="an experiment's part where the composition has none of its own, or both typed",
        do=f"type {shlex.join(words)} as well",
    )


def check_swapped(choices: Mapping[str, Any], tree: Any) -> None:
    """Refuse a composition whose own knobs would fall to another part than the one they are for.

    Raises:
        Refusal: with the parts and knobs that the composition has beside the one that was swapped.
    """
    name = str(choices.get(COMPOSED))
    own, knobs = composition(name)
    now = parts_now(own, choices, tree)
    lost = {kind: [*node] for kind, node in knobs.items() if now[kind] != own[kind]}
    for kind in {*lost} & {*NAMED_PARTS}:
        lost[kind] = [key for key in lost[kind] if key not in now[kind]]
    if not any(lost.values()):
        return
    plain, _ = composition(PLAIN)
    words = [f"{COMPOSED}={PLAIN}"]
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


def unfit(kind: str, name: str, choices: Mapping[str, Any]) -> list[str]:
    """The words that undo those knobs of an experiment which a part does not take."""
    repository = GlobalHydra.instance().config_loader().repository
    group, path = f"{COMPOSED}/{kind}", f"{COMPOSED}.{kind}"
    files = [repository.load_config(f"{group}/{name}")]
    files.append(repository.load_config(f"experiment/{choices.get('experiment')}"))
    if None in files:
        return []
    own: Any = OmegaConf.to_container(files[0].config)
    given = chosen_parts(files[1].config).get(kind, {})
    try:
        component({**own, **given}, path, path)
    except ValidationError as error:
        wrong = [str(fault["loc"][0]) for fault in error.errors() if fault["loc"]]
        return [
            f"{path}.{key}={'null' if own[key] is None else own[key]}"
            if key in own
            else f"~{path}.{key}"
            for key in dict.fromkeys(wrong)
            if key in given
        ]
    return []
