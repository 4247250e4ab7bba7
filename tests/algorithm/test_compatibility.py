"""All pairs of parts: those that contradict one another or have no effect are refused, by name."""

import shlex
from functools import cache
from itertools import combinations

import pytest
from omegaconf import OmegaConf

from mllmrec.algorithm.base import NAMED_PARTS, Algorithm
from mllmrec.algorithm.compatibility import cautions
from mllmrec.errors import Refusal
from mllmrec.schema import gather_one
from tests.launching import CONF, compose_typed, config

PARTS = sorted(
    f"{file.parent.name}.{file.stem}"
    for kind in Algorithm.model_fields
    for file in (CONF / "algorithm" / kind).glob("*.yaml")
)
# What a part cannot do without.
COMPANY = {
    "rollout.exhaust": {"advantage.expected", "policy.expected"},
    "advantage.expected": {"rollout.exhaust", "policy.expected"},
    "policy.expected": {"rollout.exhaust", "advantage.expected"},
    "rollout.latent": {"group_reward.perplexity"},
    "group_reward.perplexity": {"rollout.latent"},
    "advantage.per_rank": {"rollout.lists"},
    "advantage.zero": {"auxiliary.preference"},
}
GOLD = "auxiliary.fail_groups auxiliary.gold group.add_gold"
# Each part and what it does not go with; either way round.
APART = {
    "group.dynamic": "auxiliary.fail_groups group.add_gold",
    "auxiliary.fail_groups": "auxiliary.gold group.add_gold rebatch.pairs rebatch.shuffle",
    "auxiliary.gold": "group.add_gold rebatch.pairs rebatch.shuffle",
    "group.add_gold": "group.unique_first",  # in this order: what is put in would be dropped
    "rollout.beam": "group.unique_first",
    "rollout.exhaust": f"group.unique_first group.dynamic {GOLD} group_reward.rank kl.synced "
    "rebatch.pairs rebatch.shuffle shaping.memory shaping.per_prompt token_weight.certainty",
    "rollout.latent": f"group.unique_first group.dynamic {GOLD} auxiliary.preference "
    "group_reward.rank shaping.per_prompt shaping.memory rebatch.pairs rebatch.shuffle",
    "rollout.lists": f"group.unique_first {GOLD} auxiliary.preference group_reward.rank "
    "token_weight.certainty",
    "advantage.per_rank": "group.dynamic",
    "advantage.zero": "group_reward.rank shaping.per_prompt rebatch.pairs rebatch.shuffle "
    "policy.kl_cov",
}
REFUSED = {frozenset((part, other)) for part, others in APART.items() for other in others.split()}


@cache
def part(path):
    """A part as its own file has it."""
    kind, _, name = path.partition(".")
    node = OmegaConf.to_container(OmegaConf.load(CONF / "algorithm" / kind / f"{name}.yaml"))
    faults = []
    one = node[name] if kind in NAMED_PARTS else node
    made = gather_one(path, one, f"algorithm.{kind}", faults)
    assert not faults
    return made


def composed(*paths):
    """The config of algorithm=grpo with these parts instead of its own, or beside them."""
    default = config("stage=grpo")
    fields = {kind: getattr(default.algorithm, kind) for kind in Algorithm.model_fields}
    for path in paths:
        kind, _, name = path.partition(".")
        named = {**fields[kind], name: part(path)} if kind in NAMED_PARTS else part(path)
        fields |= {kind: named}
    groups = {**default.groups, "algorithm": Algorithm(**fields)}
    return default.model_copy(update={"groups": groups})


def all_of(*paths):
    """With what they cannot do without, and that again; the parts themselves come last."""
    company = {other for path in paths for other in COMPANY.get(path, ())}
    return [*sorted(company - {*paths}), *paths]


def expected(one, other):
    """Whether the table refuses a pair: the two themselves, or with what they need."""
    chosen = {}
    for path in all_of(one, other):
        kind = path.partition(".")[0]
        chosen |= {path if kind in NAMED_PARTS else kind: path}
    there = {*chosen.values()}
    if any(not COMPANY.get(path, set()) <= there for path in there - {"advantage.zero"}):
        return True
    return any(frozenset(pair) in REFUSED for pair in combinations(there, 2))


def said(one, other):
    with pytest.raises(Refusal) as refusal:
        made = composed(*all_of(one, other))
        made.algorithm.check(made)
    return refusal.value


def pairs():
    for one, other in combinations(PARTS, 2):
        kind = one.partition(".")[0]
        if kind in NAMED_PARTS or kind != other.partition(".")[0]:
            yield one, other


def test_all_pairs():
    """Nearly 500 of them, each composed with what it needs."""
    wrong = []
    for one, other in pairs():
        made = composed(*all_of(one, other))
        try:
            made.algorithm.check(made)
            refused = False
        except Refusal as refusal:
            refused = True
            assert str(refusal).count(" · ") == 2 and "type " in refusal.do
        if refused != expected(one, other):
            wrong.append(f"{one} × {other}: {'refused' if refused else 'taken'}")
    assert not wrong, "\n".join(wrong)


def advised(refusal, paths):
    """The parts that are left by each thing to type; None where it is another composition."""
    for words in refusal.do.removeprefix("type ").split(", or "):
        (word,) = shlex.split(words)
        group, _, choice = word.partition("=")
        kind = group.removeprefix("algorithm/")
        if group == kind:
            assert word in ("algorithm=grpo", "algorithm.rebatch.pairs.cap_contrast=false")
            continue
        left = [path for path in paths if not path.startswith(f"{kind}.")]
        names = choice.strip("[]")
        yield [*left, *(f"{kind}.{name}" for name in names.split(",") if name)]


@pytest.mark.parametrize("pair", sorted(map(sorted, REFUSED)), ids=" x ".join)
def test_a_refusal_names_both_and_what_it_advises_is_taken(pair):
    refusal = said(*pair)
    assert all(path.partition(".")[2] in refusal.wrong for path in pair)
    for paths in advised(refusal, all_of(*pair)):
        made = composed(*paths)
        made.algorithm.check(made)


def wrong(*words):
    with pytest.raises(Refusal) as refusal:
        compose_typed("stage=grpo", *words)
    return refusal.value


@pytest.mark.parametrize(
    ("words", "said", "do"),
    [
        (
            ["algorithm/group=[dynamic,unique_first]", "algorithm/auxiliary=[fail_groups]"],
            "algorithm/group=[dynamic] with algorithm/auxiliary=[fail_groups]: the one drops",
            "type 'algorithm/auxiliary=[]', or 'algorithm/group=[unique_first]'",
        ),
        (
            ["algorithm=riser", "algorithm/auxiliary=[fail_groups,gold]"],
            "would count it twice",
            "type 'algorithm/auxiliary=[fail_groups]', or 'algorithm/auxiliary=[gold]'",
        ),
        (
            ["algorithm=rere", "algorithm/group=[unique_first]"],
            "beams are distinct",
            "type 'algorithm/group=[]', or algorithm/rollout=enumerate",
        ),
        (
            ["algorithm=rere", "grpo.num_iterations=3"],
            "in name alone",
            "type grpo.num_iterations=1, or algorithm=grpo",
        ),
        (
            ["algorithm/rollout=exhaust"],
            "algorithm/rollout=exhaust algorithm/advantage=standardised algorithm/policy=clip: "
            "parts of an exact expectation",
            "type algorithm=exact, or algorithm=grpo for draws",
        ),
        (
            ["algorithm=exact", "algorithm/rollout=sample"],
            "without the others",
            "type algorithm=exact, or algorithm=grpo for draws",
        ),
        (
            ["algorithm/advantage=per_rank"],
            "algorithm/advantage=per_rank without algorithm/rollout=lists",
            "type algorithm/rollout=lists, or algorithm/advantage=standardised",
        ),
        (
            ["algorithm=latent_r3", "algorithm/group_reward=[]"],
            "algorithm/rollout=latent without algorithm/group_reward=[perplexity]",
            "type 'algorithm/group_reward=[perplexity]', or algorithm=grpo",
        ),
        (
            ["algorithm/advantage=zero"],
            "nothing else is learnt",
            "type 'algorithm/auxiliary=[preference]', or algorithm/advantage=standardised",
        ),
        (
            [
                "algorithm=preference",
                "algorithm.auxiliary.preference.gold=true",
                "algorithm/group=[dynamic]",
            ],
            "both are for the groups without a hit",
            "type algorithm.auxiliary.preference.gold=false, or 'algorithm/group=[]'",
        ),
        (
            ["algorithm/kl=synced", "grpo.beta=0"],
            "nothing is held against the reference",
            "type algorithm/kl=frozen, or grpo.beta=0.05",
        ),
    ],
)
def test_as_they_are_typed(words, said, do):
    refusal = wrong(*words)
    assert said in refusal.wrong and refusal.do == do


VLLM = ("grpo.vllm=true", "algorithm/rollout=sample", "grpo.lora.item_rows=false")


@pytest.mark.parametrize(
    ("words", "lacking"),
    [
        (["algorithm/policy=kl_cov"], "algorithm/policy=kl_cov"),
        (["algorithm/kl=synced"], "algorithm/kl=synced"),
        (["algorithm.kl.estimator=k1"], "algorithm/kl=frozen"),
        (["algorithm/advantage=batch_norm"], "algorithm/advantage=batch_norm"),
        (["algorithm.advantage.center=leave_one_out"], "algorithm/advantage=standardised"),
        (["algorithm/token_weight=certainty"], "algorithm/token_weight=certainty"),
        (["algorithm/shaping=[memory]"], "algorithm/shaping=[memory]"),
        (["algorithm/group=[dynamic]"], "algorithm/group=[dynamic]"),
    ],
)
def test_vllm_goes_with_what_the_loss_of_trl_has(words, lacking):
    with pytest.raises(Refusal) as refusal:
        config("stage=grpo", *VLLM, *words)
    assert f"grpo.vllm=true: {lacking}: TRL's loss" in refusal.value.wrong
    assert refusal.value.do == "type grpo.vllm=false, or algorithm=grpo"


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "gspo", "cispo"])
def test_vllm_takes_what_it_is_told_to_take(name):
    known = {"dapo": ("algorithm/group=[]",)}.get(name, ())
    assert config("stage=grpo", f"algorithm={name}", *VLLM, *known)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["algorithm=riser"], []),
        (["algorithm=riser", "algorithm.policy.anchor=old"], ["type algorithm.policy.anchor=ref"]),
        (["algorithm=riser", "algorithm.policy.anchor=old", "grpo.num_iterations=3"], []),
        (["algorithm=dr_irl"], []),
        (["algorithm=dr_irl", "algorithm.advantage.scale=none"], []),
        (
            [
                "algorithm=dr_irl",
                "algorithm.advantage.scale=none",
                "algorithm.shaping.per_prompt.most=9",
            ],
            ["type algorithm.shaping.per_prompt.most=2.0"],
        ),
    ],
)
def test_what_deserves_a_word(words, said):
    made = config("stage=grpo", *words)
    found = cautions(made.algorithm, made.stages["grpo"].num_iterations)
    assert len(found) == len(said) and all(a in b for a, b in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "algorithm=grpo grpo.vllm=true prepare.train_protocol=full "
            "algorithm/rollout=sample grpo.lora.item_rows=false",
            "vLLM does not know",
        ),
        ("algorithm=preference reward=[]", "nothing is paid"),
        (
            "algorithm/kl=synced grpo.num_iterations=2 grpo.save_steps=30",
            "replaced where rollouts",
        ),
        ("algorithm=riser algorithm.auxiliary.fail_groups.weight=-1", "greater than 0"),
        ("algorithm/group=[unique_first,add_gold]", None),
        (
            "algorithm=shuffle_r1 algorithm/auxiliary=[preference] "
            "algorithm.auxiliary.preference.gold=true",
            "groups without a hit",
        ),
    ],
)
def test_what_would_learn_nothing_or_another_thing(words, told):
    if told is None:
        compose_typed("stage=grpo", *words.split())
        return
    with pytest.raises(Refusal) as refusal:
        compose_typed("stage=grpo", *words.split())
    assert told in str(refusal.value)
