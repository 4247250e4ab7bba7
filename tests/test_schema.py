"""Names, types and ranges: every fault is found, told by its knob, and none is let through."""

import pytest
from pydantic import ValidationError

from mllmrec.errors import Refusal
from mllmrec.schema import STAGES, component, validate
from tests.launching import composed, config


def wrong(*words):
    with pytest.raises(Refusal) as refusal:
        config(*words)
    assert refusal.value.allowed and refusal.value.do
    return refusal.value.wrong


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cot_prob=2"], "cot_prob=2: input should be less than or equal to 1"),
        (["cot_prob=-0.1"], "cot_prob=-0.1: input should be greater than or equal to 0"),
        (["cot_prob=nan"], "cot_prob=nan: input should be a finite number"),
        (["seed=abc"], "seed='abc': input should be a valid integer"),
        (["seed=1.5"], "seed=1.5: input should be a valid integer"),
        (["threads=0"], "threads=0: input should be greater than or equal to 1"),
        (["force=sft"], "force='sft': input should be a valid list"),
        (["plan_only=perhaps"], "plan_only='perhaps': input should be a valid boolean"),
        (["grpo.beta=-1"], "grpo.beta=-1: input should be greater than or equal to 0"),
        (["grpo.num_generations=1"], "grpo.num_generations=1: input should be greater than or"),
        (["sft.lora.r=0"], "sft.lora.r=0: input should be greater than or equal to 1"),
        (["sft.lr_scheduler_type=cosin"], "sft.lr_scheduler_type='cosin': input should be"),
        (["reward.hit_format.hit=x"], "reward.hit_format.hit='x': input should be a valid number"),
        (["evaluate.policies=[grp]"], "unknown policies ['grp'], known: random, popularity"),
        (["evaluate.k=[0]"], "evaluate.k.0=0: input should be greater than or equal to 1"),
        (["prepare.protocols=[best9]"], "prepare.protocols.0='best9': uniN, popN or hardN"),
        (["dataset.longest=5"], "dataset: must hold: dataset.shortest <= dataset.longest"),
        (["sft.max_steps=null"], "sft: exactly one of epochs and max_steps must be set"),
        (["sft.epochs=1"], "sft: exactly one of epochs and max_steps must be set"),
    ],
)
def test_a_value_out_of_range_is_told_by_its_knob(words, said):
    assert said in wrong(*words)


def test_one_of_epochs_and_max_steps_is_enough():
    assert config("stage=sft", "sft.max_steps=null", "sft.epochs=0.5").stages["sft"].epochs == 0.5


def test_every_fault_is_told_at_once():
    said = wrong("seed=-1", "cot_prob=2", "sft.lora.r=x", "grpo.beta=-1", "dataset.users=0")
    for part in ("seed=-1:", "cot_prob=2:", "sft.lora.r='x':", "grpo.beta=-1:", "dataset.users=0:"):
        assert part in said, part


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("+typo=1", "typo: unknown knob, known: artifacts, cot_prob, force"),
        ("+sedd=1", "sedd: unknown knob, did you mean seed?"),
        ("+typo.x=1", "typo: unknown knob, known: artifacts"),
        ("+grpo.typo=1", "grpo.typo: unknown knob, known: adam_beta2"),
        ("+grpo.bta=1", "grpo.bta: unknown knob, did you mean grpo.beta?"),
        ("+sft.lora.rank=1", "sft.lora.rank: unknown knob"),
        ("+dataset.user=1", "dataset.user: unknown knob, did you mean dataset.users?"),
        ("+reward.more=1", "reward.more=1: not a component"),
        ("~seed", "seed: missing"),
        ("~grpo.beta", "grpo.beta: missing"),
        ("~prompt", "prompt: none is chosen"),
        ("~algorithm", "algorithm: none is chosen"),
        ("~tracking", "tracking: none is chosen"),
        ("recommender=[]", "unknown policies ['sasrec']"),
    ],
)
def test_what_is_added_or_removed_is_checked_too(word, said):
    assert said in wrong(word)


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "builtins.print", "mllmrec.stage.gc.Gc", "mllmrec.datasets.x.Y"),
        *("mllmrec.dataset.toy.None", "mllmrec.dataset.nothing.Toy", "mllmrec.dataset", ""),
        *("mllmrec.dataset.base.sha256", "mllmrec.dataset.base.np", "mllmrec.dataset.toy.DAY"),
        "mllmrec.dataset.toy.Path",
    ],
)
def test_a_target_that_is_no_component_of_its_group_is_refused(target):
    assert f"dataset._target_={target!r}" in wrong(f"dataset._target_={target}")


def test_a_target_is_never_imported_before_it_is_judged(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Refusal):
        component({"_target_": "evil.Evil"}, "dataset", "dataset")


def test_a_part_that_is_not_chosen_is_one_fault():
    tree = {**composed()}
    tree["algorithm"] = {**tree["algorithm"], "shaping": {"memory": {"k": 3}}}
    with pytest.raises(Refusal) as refusal:
        validate(tree)
    assert refusal.value.wrong == "algorithm.shaping.memory: this part is not chosen"


def test_models_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        config("stage=prepare").top.seed = 1


def test_nodes_of_stages_outside_the_chain_are_dropped_unless_they_were_typed():
    tree = {**composed("stage=prepare"), "sft": {"max_steps": 2}}
    made = validate(tree)
    assert made.dropped == ("sft",) and set(made.stages) == {"prepare"}
    with pytest.raises(Refusal, match="sft: stage=prepare does not stand on it") as refusal:
        validate(tree, typed=["sft.max_steps"])
    assert refusal.value.do == "type stage=sft, or leave sft.… out"


def test_stages_are_the_files_of_conf(root):
    assert {path.stem for path in (root / "conf" / "stage").glob("*.yaml")} == set(STAGES)


def test_the_folder_of_a_dataset_is_its_module():
    assert config("stage=prepare").dataset_name == "toy"
    assert config("stage=prepare", "dataset=movietweetings").dataset_name == "movietweetings"


def test_the_goal_is_the_stage_that_was_chosen():
    assert config().goal.name == "evaluate"
    assert config("stage=sft").goal.name == "sft"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("evaluate.protocols=[uni7]", r"no candidates are drawn for uni7 .*uni9"),
        ("grpo.probe.protocol=uni7", r"grpo\.probe\.protocol: no candidates .*prepare\.protocols"),
        ("evaluate.k=[100]", r"no K of \[100\] is below"),
        ("evaluate.compare=[[sft,nobody]]", r"unknown policies \['nobody'\]"),
    ],
)
def test_relations_between_nodes_are_refused_before_anything_is_begun(word, said):
    with pytest.raises(Refusal, match=said):
        config(word)


def test_an_oracle_alone_is_refused_where_no_process_is_known(tmp_path):
    words = ("dataset=movietweetings", f"dataset.path={tmp_path}", "evaluate.policies=[oracle]")
    with pytest.raises(Refusal, match="does not know its own process"):
        config(*words)
