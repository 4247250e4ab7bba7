"""Composition of what is typed: every choice and every point of a grid, before anything begins."""

import itertools
import shlex

import pytest

from mllmrec.compose import check, grid, typed_keys
from mllmrec.errors import Refusal
from mllmrec.schema import NAMED
from tests.launching import CONF, compose_typed, config

GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "schema")
CHOICES = [
    (group, path.stem)
    for group in GROUPS
    if group != "experiment"
    for path in sorted((CONF / group).glob("*.yaml"))
]
STAGES = [choice for group, choice in CHOICES if group == "stage"]
EXPERIMENTS = [path.stem for path in sorted((CONF / "experiment").glob("*.yaml"))]


def wrong(*words):
    with pytest.raises(Refusal) as refusal:
        compose_typed(*words)
    assert str(refusal.value).count(" · ") >= 2
    return refusal.value


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_of_every_group_composes(group, choice):
    """It is also instantiated: names and values of the file are those of its class."""
    words = [f"{group}=[{choice}]" if group in NAMED else f"{group}={choice}"]
    if group == "recommender":  # the table names others of them
        words += [f"evaluate.policies=[{choice}]", "evaluate.compare=[]"]
    config(*words)


def test_a_word_with_a_slash_is_a_choice_of_a_group_below():
    """Each part is instantiated by the table of tests/algorithm/test_compatibility.py."""
    assert compose_typed("algorithm/rollout=sample", "stage=sft").algorithm.rollout.top_p == 1


@pytest.mark.parametrize(("experiment", "stage"), [*itertools.product(EXPERIMENTS, STAGES)])
def test_every_experiment_composes_with_every_stage(experiment, stage):
    made = compose_typed(f"experiment={experiment}", f"stage={stage}")
    assert made.top.goal == stage
    assert not set(made.dropped) & set(made.stages)


def test_an_experiment_may_set_what_the_goal_does_not_stand_on():
    made = compose_typed("experiment=debug", "stage=prepare")
    assert set(made.dropped) == {"evaluate", "grpo", "pretrain", "sft"}
    assert made.stages["prepare"].protocols == ["uni9"]
    assert compose_typed("experiment=debug").dropped == ()


def test_rewards_are_listed_and_keep_their_names():
    made = compose_typed("reward=[hit,in_candidates]", "reward.in_candidates.weight=0.2")
    assert {name: part.weight for name, part in made.reward.items()} == {
        "hit": 1.0,
        "in_candidates": 0.2,
    }


def test_a_share_of_rationales_at_the_top_reaches_each_stage():
    made = compose_typed("cot_prob=0.1", "grpo.cot_prob=0.3")
    shares = [made.stages[name].cot_prob for name in ("sft", "sft_continued", "grpo")]
    assert shares == [0.1, 0.1, 0.3]


@pytest.mark.parametrize(
    ("words", "said", "do"),
    [
        (["typo=1"], "typo: unknown knob", "--cfg job"),
        (["seeed=1"], "seeed: unknown knob", "type seed=VALUE"),
        (["sft.lora.rr=1"], "sft.lora.rr: unknown knob", "type sft.lora.r=VALUE"),
        (["grpo.bta=1"], "grpo.bta: unknown knob", "type grpo.beta=VALUE"),
        (["dataset=toys"], "dataset=toys: there is no such choice", "type dataset=toy"),
        (["dataset=zzz"], "dataset=zzz: there is no such choice", "type dataset=NAME"),
        (["experiment=debgu"], "experiment=debgu: there is no such choice", "experiment=debug"),
        (["stage=prepair"], "stage=prepair: there is no such choice", "type stage=prepare"),
        (["reward=[hits]"], "reward=hits: there is no such choice", "type reward=hit"),
        (["=1"], "must be a string or a list", "--cfg job"),
        (["dataset=3"], "must be a string or a list", "--cfg job"),
        (["seed=[1"], "[1", "--cfg job"),
        (["seed=${nothing}"], "nothing", "--cfg job"),
    ],
)
def test_what_does_not_compose_is_told_in_our_words(words, said, do):
    refusal = wrong(*words)
    assert said in refusal.wrong and do in refusal.do
    assert "\n" not in str(refusal)


@pytest.mark.parametrize(
    ("word", "do"),
    [
        ("sft.trainer_args.optim=adafactor", "type +sft.trainer_args.optim=adafactor"),
        ("sft.trainer_args={optim: adafactor}", "type +sft.trainer_args.optim=adafactor"),
        ("evaluate.samples.pop99=10", "type +evaluate.samples.pop99=10"),
        (
            "evaluate.samples={uni9: 5, pop99: null}",
            "type evaluate.samples.uni9=5 +evaluate.samples.pop99=null",
        ),
    ],
)
def test_a_new_key_of_an_open_knob_is_added_by_what_is_advised(word, do):
    refusal = wrong(word)
    assert refusal.do == do and "unknown" not in refusal.wrong
    compose_typed("prepare.protocols=[uni9,pop9,uni99,pop99]", *do.split()[1:])


def test_an_unknown_knob_within_braces_is_named():
    refusal = wrong("sft.lora={rr: 1}")
    assert refusal.wrong == "sft.lora.rr: unknown knob" and refusal.do == "type sft.lora.r=VALUE"


@pytest.mark.parametrize("folder", ["/données", "/a (b)/c", "/über uns"])
def test_a_path_that_hydra_cannot_read_is_shown_in_quotes(folder):
    words = ["stage=prepare", f"artifacts={folder}"]
    do = wrong(*words).do
    assert do == f"type 'artifacts=\"{folder}\"'"
    with pytest.raises(Refusal) as refusal:
        grid(words)
    assert refusal.value.do == do
    (word,) = shlex.split(do)[1:]
    assert str(compose_typed("stage=prepare", word).top.artifacts) == folder


def test_an_unknown_knob_is_answered_with_its_neighbours():
    assert "sft.lora: alpha, dropout, item_rows, r" in wrong("sft.lora.zzz=1").allowed
    assert "toy" in wrong("dataset=zzz").allowed


def test_a_knob_of_a_stage_outside_the_goal_says_which_goal_it_needs():
    for word in ("sft.max_steps=1", "+sft.max_steps=1"):
        refusal = wrong("stage=prepare", word)
        assert refusal.wrong == "sft: stage=prepare does not stand on it"
        assert "prepare" in refusal.allowed and refusal.do.startswith("type stage=sft")
    wrong("experiment=debug", "stage=prepare", "sft.max_steps=1")


def test_the_points_of_a_grid():
    points = grid(["cot_prob=0,0.1", "grpo.beta=0.05,0.1,0.2", "seed=1"])
    assert len(points) == 6 and len({tuple(point) for point in points}) == 6
    assert points[0] == ["cot_prob=0", "grpo.beta=0.05", "seed=1"]
    assert len(grid(["seed=range(0,4)"])) == 4
    assert grid(["seed=1,2", "hydra/sweeper=ax", "cot_prob=0"]) == [
        ["hydra/sweeper=ax", "cot_prob=0"]
    ]


def test_what_the_points_of_another_sweeper_share_is_checked():
    words = ["-m", "hydra/sweeper=basic", "stage=prepare", "seed=1,2"]
    check(words, CONF)
    with pytest.raises(Refusal, match="typo: unknown knob"):
        check([*words, "typo=1"], CONF)


def test_keys_are_typed_without_signs():
    words = ["+a.b=1", "~c", "++d=x=y", "e@f=g", "h=1,2"]
    assert typed_keys(words) == ["a.b", "c", "d", "e", "h"]


def test_a_bad_point_of_a_grid_is_refused():
    check(["-m", "stage=prepare", "seed=1,2"], CONF)
    with pytest.raises(Refusal, match="seed=-2"):
        check(["-m", "stage=prepare", "seed=1,2,-2"], CONF)
    with pytest.raises(Refusal, match="stage=nope"):
        check(["-m", "stage=prepare,nope"], CONF)


@pytest.mark.parametrize("shown", ["--help", "--hydra-help", "--cfg=job", "--info=all"])
def test_what_is_only_shown_is_not_checked(shown):
    check([shown, "typo=1"], CONF)


@pytest.mark.parametrize(("mode", "flags"), [("run", []), ("sweep", ["-m"])])
def test_a_run_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch, mode, flags):
    monkeypatch.chdir(tmp_path)
    words = [*flags, "stage=prepare"]
    check(words, CONF)
    for name in ("outputs", "multirun"):
        (tmp_path / name).write_text("no folder")
    with pytest.raises(Refusal, match="is no folder") as refusal:
        check(words, CONF)
    assert f"hydra.{mode}.dir=DIR" in refusal.value.do
    check([*words, f"hydra.{mode}.dir={tmp_path}/x/${{now:%Y}}"], CONF)
    with pytest.raises(Refusal, match="is no folder"):
        check([*words, f"hydra.{mode}.dir={tmp_path}/outputs/y"], CONF)


@pytest.fixture(params=["own", "mes données (2)"])
def own(request, tmp_path):
    """A user's folder of choices: a dataset and an experiment."""
    tmp_path = tmp_path / request.param
    for group in ("dataset", "experiment"):
        (tmp_path / group).mkdir(parents=True)
    (tmp_path / "dataset" / "mine.yaml").write_text("defaults: [toy]\nusers: 77\n")
    (tmp_path / "experiment" / "study.yaml").write_text("# @package _global_\nseed: 7\n")
    return tmp_path


def test_choices_of_ones_own_are_found(own, monkeypatch):
    words = ["dataset=mine", "experiment=study", "stage=prepare"]
    check(["--config-dir", str(own), *words], CONF)
    check([f'hydra.searchpath=["file://{own}"]', *words], CONF)
    monkeypatch.setenv("MLLMREC_CONF", str(own))
    check(words, CONF)
    monkeypatch.delenv("MLLMREC_CONF")
    with pytest.raises(Refusal, match=r"(dataset=mine|experiment=study): there is no such choice"):
        check(words, CONF)


def test_two_folders_of_ones_own_are_searched(own, tmp_path, monkeypatch):
    other = tmp_path / "other"
    (other / "experiment").mkdir(parents=True)
    (own / "experiment" / "study.yaml").rename(other / "experiment" / "study.yaml")
    words = ["--config-dir", str(own), "dataset=mine", "experiment=study", "stage=prepare"]
    check([*words, f'hydra.searchpath=["file://{other}"]'], CONF)
    monkeypatch.setenv("MLLMREC_CONF", str(other))
    check(words, CONF)


def test_choices_of_ones_own_are_validated(own):
    (own / "dataset" / "mine.yaml").write_text("defaults: [toy]\nuser: 77\n")
    with pytest.raises(Refusal, match=r"dataset\.user: unknown knob, did you mean dataset\.users"):
        check(["--config-dir", str(own), "dataset=mine", "stage=prepare"], CONF)


def test_values_of_ones_own_arrive(own):
    search = [f'hydra.searchpath=["file://{own}"]']
    made = compose_typed("dataset=mine", "experiment=study", "stage=prepare", search=search)
    assert (made.dataset.users, made.top.seed) == (77, 7)


def test_a_knob_of_another_choice_says_which_choice_has_it():
    with pytest.raises(Refusal) as refusal:
        compose_typed("reasoner.endpoint.url=http://x")
    assert refusal.value.wrong == "reasoner.endpoint.url: no knob of the reasoner that is chosen"
    assert refusal.value.allowed == "reasoner=endpoint has it"
    assert refusal.value.do == "type reasoner=endpoint reasoner.endpoint.url=http://x"
    assert compose_typed("reasoner=endpoint", "reasoner.endpoint.url=http://x")
    with pytest.raises(Refusal, match=r"reasoner\.rcent: unknown knob"):
        compose_typed("reasoner.rcent=3")


def test_a_rule_that_is_not_asked_is_refused_where_it_is_typed():
    with pytest.raises(Refusal, match=r"has no effect with assess\.keep=top_share") as refusal:
        compose_typed("assess.threshold=0.7")
    assert refusal.value.do == "type assess.keep=threshold assess.threshold=0.7"
    assert compose_typed("assess.keep=threshold", "assess.threshold=0.7")
    assert compose_typed("experiment=leak", "stage=sft")  # an experiment may set both


def test_what_captions_may_be_is_told_whole():
    with pytest.raises(
        Refusal, match=r"prompt\.captions='maybe': input should be 'auto', True or False"
    ):
        compose_typed("prompt.captions=maybe")
