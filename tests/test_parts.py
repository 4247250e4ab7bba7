"""What is typed of an algorithm's parts: chosen with a slash, set with a dot; slips, old words."""

import shlex

import pytest
from hydra import initialize_config_dir

from mllmrec import parts
from mllmrec.errors import Refusal
from tests.launching import CONF, compose_typed, composed, config


def wrong(*words):
    with pytest.raises(Refusal) as refusal:
        compose_typed(*words)
    assert str(refusal.value).count(" · ") >= 2
    return refusal.value


def told(word):
    """What is said of one word that is refused before anything is composed."""
    default = composed()
    with (
        pytest.raises(Refusal) as refusal,
        initialize_config_dir(version_base="1.3", config_dir=str(CONF)),
    ):
        parts.check_word(word, lambda: default)
    return refusal.value


@pytest.mark.parametrize(
    ("word", "said", "do"),
    [
        ("algorithm.policy=cispo", "chosen with a slash", "algorithm/policy=cispo"),
        ("policy=cispo", "policy=cispo: a part is", "algorithm/policy=cispo"),
        ("algorithm.rollout=sampel", "chosen with a slash", "algorithm/rollout=sample"),
        ("algorithm.shaping=[memory]", "with a slash", "'algorithm/shaping=[memory]'"),
        ("algorithm.shaping=memory", "with a slash", "'algorithm/shaping=[memory]'"),
        ("algorithm.polcy.epsilon=1", "polcy: no kind of part", "algorithm.policy.epsilon=1"),
        ("algorithm.rollout=sample", "with a slash", "algorithm/rollout=sample"),
        ("algorithm.rollout=exact", "with a slash", "algorithm=exact"),
        ("algorithm.constraint=token", "a part's knob", "algorithm.rollout.constraint=token"),
        ("algorithm.temperature=0.9", "a part's knob", "algorithm.rollout.temperature=0.9"),
        (
            "algorithm.top_p=0.9",
            "no knob of the parts that are chosen",
            "algorithm/rollout=sample algorithm.rollout.top_p=0.9",
        ),
        ("algorithm.loss_type=grpo", "TRL's name", "algorithm.policy.averaging=sequence"),
        ("algorithm.loss_type=dapo", "TRL's name", "algorithm.policy.averaging=token"),
        ("algorithm.loss_type=dr_grpo", "TRL's name", "algorithm.policy.averaging=constant"),
        ("algorithm.loss_type=cispo", "TRL's name", "algorithm/policy=cispo"),
        ("algorithm.scale_rewards=none", "TRL's name", "algorithm.advantage.scale=none"),
        ("algorithm.scale_rewards=false", "TRL's name", "algorithm.advantage.scale=none"),
        ("algorithm.scale_rewards=True", "TRL's name", "algorithm.advantage.scale=group"),
        ("+algorithm/policy=cispo", "chosen without +", "algorithm/policy=cispo"),
        ("++algorithm/policy=cispo", "chosen without +", "algorithm/policy=cispo"),
        ("+algorithm/shaping=[memory]", "without +", "'algorithm/shaping=[memory]'"),
        ("algorithm/policy@algorithm.policy=cispo", "without @", "algorithm/policy=cispo"),
        ("~algorithm/shaping", "with an empty list", "'algorithm/shaping=[]'"),
        ("~algorithm.shaping", "with an empty list", "'algorithm/shaping=[]'"),
        ("algorithm/shaping=null", "nothing is no choice", "'algorithm/shaping=[]'"),
        ("algorithm.epsilon_high=0.3", "a part's knob", "algorithm.policy.epsilon_high=0.3"),
        ("+algorithm.epsilon_high=0.3", "a part's knob", "algorithm.policy.epsilon_high=0.3"),
    ],
)
def test_a_word_that_is_said_in_another_way(word, said, do):
    refusal = told(word)
    assert said in refusal.wrong and refusal.do == f"type {do}"
    assert str(refusal).count(" · ") == 2
    typed = shlex.split(do)
    if not {"algorithm/policy=cispo", "algorithm=exact"} & {*typed}:
        assert config(*typed)  # what is advised is taken


@pytest.mark.parametrize("word", ["algorithm=grpo", "algorithm.policy.epsilon=1", "seed=1"])
def test_other_words_pass(word):
    parts.check_word(word, lambda: None)
    parts.check_word("algorithm.policy={epsilon: 0.1}", lambda: None)


@pytest.mark.parametrize(
    ("word", "said", "do"),
    [
        ("~algorithm", "~algorithm: one is always there", "algorithm=NAME"),
        ("algorithm=null", "nothing is no choice", "algorithm=NAME"),
        ("algorithm=[riser]", "one is chosen, by its name", "algorithm=riser"),
        ("~algorithm/policy", "one is always there", "algorithm/policy=NAME"),
        ("~algorithm.policy", "one is always there", "algorithm/policy=NAME"),
        ("~algorithm/policy=clip", "one is always there", "algorithm/policy=NAME"),
        ("algorithm.loss_type=sapo", "not there", "algorithm/policy=NAME with one of these"),
        ("algorithm.loss_type=bnpo", "not there", "algorithm/policy=NAME with one of these"),
    ],
)
def test_a_choice_that_is_none_names_what_is_there(word, said, do):
    refusal = told(word)
    assert said in refusal.wrong and refusal.do == f"type {do}"
    assert ("riser" if do.startswith("algorithm=") else "cispo, clip") in refusal.allowed


def test_named_parts_are_taken_away_by_a_list_without_them():
    refusal = wrong("algorithm=memory", "~algorithm.shaping.memory")
    assert refusal.do == "type 'algorithm/shaping=[]'" and "chosen: memory" in refusal.allowed
    both = "algorithm/shaping=[memory,per_prompt]"
    assert wrong(both, "~algorithm.shaping.memory").do == "type 'algorithm/shaping=[per_prompt]'"


def test_a_name_that_several_parts_have_is_told_with_all_of_them():
    do = told("algorithm.epsilon=0.1").do
    assert do == "type algorithm.policy.epsilon=0.1, or algorithm.advantage.epsilon=0.1"


@pytest.mark.parametrize(
    ("words", "said", "do"),
    [
        (["algorithm.loss_type=dapo"], "TRL's name", "algorithm.policy.averaging=token"),
        (["algorithm=grop"], "algorithm=grop: there is no such choice", "algorithm=grpo"),
        (["algorithm/policy=cipso"], "there is no such choice", "algorithm/policy=cispo"),
        (["algorithm/polcy=cispo"], "algorithm/polcy: there is no such", "algorithm/policy=cispo"),
        (["algorithm/shaping=[memry]"], "no such choice", "algorithm/shaping=memory"),
        (["algorithm.policy.epsilom=1"], "unknown knob", "algorithm.policy.epsilon=VALUE"),
        (
            ["algorithm.policy.ratio=0.1"],
            "no knob of the algorithm/policy that is chosen",
            "algorithm/policy=kl_cov algorithm.policy.ratio=0.1",
        ),
        (
            ["algorithm.shaping.memory.k=3"],
            "algorithm.shaping.memory: this part is not chosen",
            "'algorithm/shaping=[memory]' algorithm.shaping.memory.k=3",
        ),
        (
            ["algorithm/shaping=[per_prompt]", "+algorithm.shaping.memory.k=3"],
            "algorithm.shaping.memory: this part is not chosen",
            "'algorithm/shaping=[per_prompt,memory]' algorithm.shaping.memory.k=3",
        ),
        (
            ["algorithm/shaping=[memory]", "algorithm.shaping.memry.k=3"],
            "algorithm.shaping.memry: this part is not chosen",
            "algorithm.shaping.memory.k=3",
        ),
        (
            ["algorithm/shaping=[memory]", "algorithm.shaping.memory.kk=3"],
            "unknown knob",
            "algorithm.shaping.memory.k=VALUE",
        ),
    ],
)
def test_a_slip_is_told_with_what_to_type(words, said, do):
    refusal = wrong(*words)
    assert said in refusal.wrong and refusal.do == f"type {do}"


def test_parts_are_swapped_and_listed():
    made = compose_typed(
        "algorithm/policy=cispo", "algorithm/shaping=[memory,per_prompt]", "algorithm/group=[]"
    ).algorithm
    assert type(made.policy).__name__ == "Cispo"
    assert list(made.shaping) == ["memory", "per_prompt"] and made.group == {}
    assert list(compose_typed("algorithm/shaping=memory").algorithm.shaping) == ["memory"]


@pytest.mark.parametrize(
    ("words", "said", "do"),
    [
        (
            ["algorithm=dapo", "algorithm/policy=cispo"],
            "it sets algorithm.policy.epsilon_high, algorithm.policy.averaging for its own clip",
            "algorithm=grpo 'algorithm/group=[dynamic]' algorithm/policy=cispo",
        ),
        (
            ["algorithm=rl_plus", "algorithm/policy=kl_cov"],
            "algorithm=rl_plus with algorithm/policy=kl_cov: it sets algorithm.policy.averaging",
            "algorithm=grpo algorithm/policy=kl_cov 'algorithm/auxiliary=[gold]' "
            "algorithm.advantage.scale=none",
        ),
    ],
)
def test_knobs_of_a_composition_fall_to_no_other_part(words, said, do):
    refusal = wrong(*words)
    assert said in refusal.wrong and refusal.do == f"type {do}"
    assert compose_typed(*shlex.split(do))


def test_parts_are_taken_away():
    made = compose_typed("algorithm=riser", "algorithm/group=[]", "algorithm/policy=clip").algorithm
    assert made.group == {} and list(made.auxiliary) == ["fail_groups"]
