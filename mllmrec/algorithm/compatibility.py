"""Which parts of a method go together: what is contradictory or without effect is refused.

Parts are named by kind and module, ``group.dynamic``. What concerns one part alone, or its order,
is in its own ``check``; ``tests/algorithm/test_compatibility.py`` goes through all pairs.
"""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mllmrec.errors import Refusal

if TYPE_CHECKING:
    from mllmrec.algorithm.base import Algorithm
    from mllmrec.schema import Config

# A part, others that it does not go with, and why.
APART: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "group.dynamic",
        ("auxiliary.fail_groups", "group.add_gold"),
        "the one drops the groups without a hit, and the other is there for them",
    ),
    (
        "auxiliary.fail_groups",
        ("auxiliary.gold", "group.add_gold"),
        "both push the answer of the target, and would count it twice",
    ),
    (
        "auxiliary.gold",
        ("group.add_gold",),
        "both push the answer of the target, and would count it twice",
    ),
    (
        "rebatch.shuffle",
        ("auxiliary.fail_groups", "auxiliary.gold"),
        "the one leaves out groups without a hit, of advantage 0, and the other is there for them",
    ),
    ("rollout.beam", ("group.unique_first",), "beams are distinct, so that nothing is there twice"),
    (
        "rollout.exhaust",
        ("group.unique_first", "group.dynamic", "group.add_gold"),
        "a group is all candidates, each once, the target among them",
    ),
    (
        "rollout.exhaust",
        ("auxiliary.fail_groups", "auxiliary.gold"),
        "a group is all candidates, the target among them",
    ),
    (
        "rollout.exhaust",
        ("group_reward.rank", "rebatch.pairs", "rebatch.shuffle"),
        "an expectation is over all candidates, each with its own reward, and none is drawn",
    ),
    (
        "rollout.exhaust",
        ("shaping.per_prompt", "shaping.memory"),
        "a group is all candidates, whatever the policy thinks of them",
    ),
    (
        "rollout.exhaust",
        ("token_weight.certainty", "kl.synced"),
        "the loss is of whole answers, exact, and nothing in it is by token",
    ),
    (
        "rollout.latent",
        ("group.unique_first", "group.dynamic", "group.add_gold", "group_reward.rank"),
        "its rows are the target's answer, each under its own noise: none is a miss",
    ),
    (
        "rollout.latent",
        ("auxiliary.fail_groups", "auxiliary.gold", "auxiliary.preference"),
        "its rows are the target's answer, each under its own noise: none is a miss",
    ),
    (
        "rollout.latent",
        ("shaping.per_prompt", "shaping.memory", "rebatch.pairs", "rebatch.shuffle"),
        "its rows are the target's answer, each under its own noise: none is another item",
    ),
    (
        "rollout.lists",
        ("group.unique_first", "group.add_gold", "group_reward.rank", "token_weight.certainty"),
        "the one writes lists, and the other is about single answers",
    ),
    (
        "rollout.lists",
        ("auxiliary.fail_groups", "auxiliary.gold", "auxiliary.preference"),
        "the one writes lists, and the other is about single answers",
    ),
    (
        "advantage.per_rank",
        ("group.dynamic",),
        "the one goes by ranks and not by rewards, and the other by rewards alone",
    ),
    (
        "advantage.zero",
        ("group_reward.rank", "shaping.per_prompt", "rebatch.pairs", "rebatch.shuffle"),
        "advantages are 0 whatever was drawn, so that it has no effect",
    ),
    (
        "advantage.zero",
        ("policy.kl_cov",),
        "advantages are 0, and their covariance with anything, by which it chooses tokens, too",
    ),
)
# What a part cannot do without: any one of these.
NEEDS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("advantage.per_rank", ("rollout.lists",), "an answer of one item has one rank"),
    ("rollout.latent", ("group_reward.perplexity",), "its rows are the target's answer, all hits"),
    (
        "advantage.zero",
        ("auxiliary.preference", "auxiliary.fail_groups", "auxiliary.gold"),
        "with advantages of 0 nothing else is learnt",
    ),
)
# The parts of an exact expectation: all of them, or none.
EXACT = {"rollout": "exhaust", "advantage": "expected", "policy": "expected"}
# What takes the place of a part of which there is one.
INSTEAD = {
    "rollout": "enumerate",
    "advantage": "standardised",
    "token_weight": "uniform",
    "kl": "frozen",
    "policy": "clip",
}
WHOLE = ("rollout.exhaust", "rollout.latent", "rollout.lists")  # other parts stand on these


def check(algorithm: "Algorithm", config: "Config") -> None:
    """Refuse parts that contradict one another, and those that would have no effect.

    Raises:
        Refusal: the first such pair.
    """
    chosen = by_name(algorithm)
    check_exact(chosen)
    for part, others, why in APART:
        for other in others:
            if part in chosen and other in chosen:
                raise Refusal(
                    f"{chosen[part]} with {chosen[other]}: {why}",
                    allowed="one of the two",
                    do=f"type {without(algorithm, other)}, or {without(algorithm, part)}",
                )
    for part, others, why in NEEDS:
        if part in chosen and not chosen.keys() & {*others}:
            raise Refusal(
                f"{chosen[part]} without {' or '.join(map(typed, others))}: {why}",
                allowed=f"{chosen[part]} with {' or '.join(map(typed, others))}",
                do=f"type {chosen_too(algorithm, others[0])}, or {without(algorithm, part)}",
            )
    check_knobs(algorithm, config, chosen)


def by_name(algorithm: "Algorithm") -> dict[str, str]:
    """The parts by kind and module, and how each was chosen: ``algorithm/group=[dynamic]``."""
    found = {}
    for path, part in algorithm.parts.items():
        kind, _, key = path.partition(".")
        name = type(part).__module__.rpartition(".")[2]
        found[f"{kind}.{name}"] = typed(f"{kind}.{key or name}")
    return found


def typed(part: str) -> str:
    kind, _, name = part.partition(".")
    return f"algorithm/{kind}={name}" if kind in INSTEAD else f"algorithm/{kind}=[{name}]"


def keys(algorithm: "Algorithm", kind: str) -> Iterator[tuple[str, str]]:
    """The named parts of a kind: their keys, and their modules."""
    for key, part in getattr(algorithm, kind).items():
        yield key, type(part).__module__.rpartition(".")[2]


def without(algorithm: "Algorithm", part: str) -> str:
    """The words that choose all but this part."""
    kind, _, name = part.partition(".")
    if part in WHOLE:
        return "algorithm=grpo"
    if kind in INSTEAD:
        return f"algorithm/{kind}={INSTEAD[kind]}"
    rest = ",".join(key for key, module in keys(algorithm, kind) if module != name)
    return shlex.quote(f"algorithm/{kind}=[{rest}]")


def chosen_too(algorithm: "Algorithm", part: str) -> str:
    """The words that choose this part too."""
    kind, _, name = part.partition(".")
    if kind in INSTEAD:
        return f"algorithm/{kind}={name}"
    return shlex.quote(f"algorithm/{kind}=[{','.join([*getattr(algorithm, kind), name])}]")


def check_exact(chosen: dict[str, str]) -> None:
    """Refuse some of the parts of an exact expectation without the others."""
    mine = {kind: f"{kind}.{name}" in chosen for kind, name in EXACT.items()}
    if len({*mine.values()}) > 1:
        some = [how for part, how in chosen.items() if part.partition(".")[0] in EXACT]
        every = " ".join(f"algorithm/{kind}={name}" for kind, name in EXACT.items())
        raise Refusal(
            f"{' '.join(some)}: parts of an exact expectation, without the others",
            allowed=f"{every}, or none of them",
            do="type algorithm=exact, or algorithm=grpo for draws",
        )


def check_knobs(algorithm: "Algorithm", config: "Config", chosen: dict[str, str]) -> None:
    """Refuse parts that do not go with a knob of another one, or of the stage."""
    stage: Any = config.stages["grpo"]
    check_gold(algorithm, chosen)
    rounds = stage.num_iterations
    if rounds > 1 and chosen.keys() & {"rollout.beam", "rollout.exhaust"}:
        raise Refusal(
            f"grpo.num_iterations={rounds}: algorithm/rollout={algorithm.rollout.name} draws "
            "nothing, so that an importance ratio would be one in name alone",
            allowed="1, or a rollout that draws",
            do="type grpo.num_iterations=1, or algorithm=grpo",
        )
    if "kl.synced" in chosen and not (stage.beta or algorithm.needs_reference):
        raise Refusal(
            "algorithm/kl=synced with grpo.beta=0: nothing is held against the reference",
            allowed="grpo.beta above 0",
            do="type algorithm/kl=frozen, or grpo.beta=0.05",
        )
    every = getattr(algorithm.kl, "every", rounds)
    if every % rounds:
        raise Refusal(
            f"algorithm.kl.every={every}: with grpo.num_iterations={rounds} the reference is "
            "replaced where rollouts begin",
            allowed=f"a multiple of {rounds}",
            do=f"type algorithm.kl.every={every * rounds}",
        )
    if stage.vllm:
        check_vllm(algorithm)


def check_gold(algorithm: "Algorithm", chosen: dict[str, str]) -> None:
    """Refuse knobs by which groups without a hit are dropped, or shown the target, by two parts."""
    pairs = next((p for p in algorithm.rebatch.values() if getattr(p, "cap_contrast", False)), None)
    theirs = [part for part in ("auxiliary.fail_groups", "auxiliary.gold") if part in chosen]
    if pairs and theirs:
        raise Refusal(
            f"algorithm.rebatch.pairs.cap_contrast=true with {chosen[theirs[0]]}: the one drops "
            "the groups without a hit, as they have no contrast, and the other is there for them",
            allowed="one of the two",
            do="type algorithm.rebatch.pairs.cap_contrast=false, or "
            + without(algorithm, theirs[0]),
        )
    others = ["auxiliary.fail_groups", "auxiliary.gold", "group.add_gold", "group.dynamic"]
    others += ["rebatch.shuffle", *(["rebatch.pairs"] if pairs else [])]
    other = next((part for part in others if part in chosen), None)
    if other and any(getattr(part, "gold", False) for part in algorithm.auxiliary.values()):
        raise Refusal(
            f"algorithm.auxiliary.preference.gold=true with {chosen[other]}: both are for the "
            "groups without a hit",
            allowed="one of the two",
            do=f"type algorithm.auxiliary.preference.gold=false, or {without(algorithm, other)}",
        )


def check_vllm(algorithm: "Algorithm") -> None:
    """Refuse parts that the loss of TRL, with which vLLM's answers are learnt, does not have."""
    chosen = by_name(algorithm)
    has = {kind: bool(getattr(algorithm, kind).trl()) for kind in ("policy", "advantage", "kl")}
    has |= {"rollout": True, "token_weight": "token_weight.uniform" in chosen}
    lacking = [how for part, how in chosen.items() if not has.get(part.partition(".")[0])]
    if lacking:
        raise Refusal(
            f"grpo.vllm=true: {', '.join(lacking)}: TRL's loss, which vLLM goes with, has no such",
            allowed="the parts and knobs of algorithm=grpo, dr_grpo, dapo, gspo or cispo",
            do="type grpo.vllm=false, or algorithm=grpo",
        )


def cautions(algorithm: "Algorithm", num_iterations: int) -> list[str]:
    """What goes together and deserves a word: lines for the log, where it is trained."""
    found, chosen = [], by_name(algorithm)
    anchor = getattr(algorithm.policy, "anchor", None)
    if anchor == "old" and num_iterations == 1:
        found.append(
            "algorithm.policy.anchor=old with grpo.num_iterations=1: a batch is learnt from once, "
            "by the policy that drew it, so that its KL term is 0; type algorithm.policy.anchor=ref"
        )
    most = max((getattr(p, "most", 0.0) for p in algorithm.shaping.values()), default=0.0)
    if (
        "shaping.per_prompt" in chosen
        and most > 2
        and (getattr(algorithm.advantage, "scale", None) == "none")
    ):
        found.append(
            f"algorithm.shaping.per_prompt.most={most:g} with algorithm.advantage.scale=none: "
            "nothing else bounds what a prompt counts; type algorithm.shaping.per_prompt.most=2.0"
        )
    return found
