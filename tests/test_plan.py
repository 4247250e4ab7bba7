"""Identities and plans: what a knob touches, what is reused, and why the rest is built."""

import itertools
import json
from dataclasses import replace

import pytest

from mllmrec import locks
from mllmrec.artifacts import Store, partial_of, write_json
from mllmrec.errors import Refusal
from tests.launching import config, ids, steps

PLAIN = ("prompt.captions=false", "cot_prob=0")
CHAIN = ["prepare", "pretrain", "sft", "merge", "grpo", "sft_continued", "evaluate"]


def touched(*words, base=()):
    """The labels whose identity these overrides change; both plans hold the same labels."""
    before, after = ids(*base), ids(*base, *words)
    assert before.keys() == after.keys()
    return {label for label in before if before[label] != after[label]}


def publish(store, *labels, words=()):
    """Put empty artifacts of these steps (of all, where none is named) into a store."""
    for step in steps(store, *words):
        if not labels or step.label in labels:
            step.folder.mkdir(parents=True, exist_ok=True)
            said = {"label": step.label, "identity": step.identity, "files": {}, "metrics": {}}
            write_json(step.folder / "manifest.json", said)


def actions(store, *words):
    return {step.label: step.action for step in steps(store, *words)}


def whys(store, *words):
    return {step.label: step.why for step in steps(store, *words)}


@pytest.fixture
def store(tmp_path):
    return Store(root=tmp_path / "store")


def test_the_goal_comes_last_and_each_step_after_what_it_stands_on(store):
    planned = steps(store)
    assert planned[-1].label == "evaluate"
    seen = set()
    for step in planned:
        assert set(step.inputs.values()) <= seen
        assert step.folder == store.root / "toy" / step.stage.name / step.id
        seen.add(step.id)
    assert len(seen) == len(planned)
    assert not store.root.exists()  # a plan touches no file


def test_a_goal_stands_on_its_own_chain_alone(store):
    assert list(actions(store, "stage=prepare")) == ["prepare"]
    assert list(actions(store, "stage=merge", *PLAIN)) == ["prepare", "pretrain", "sft", "merge"]
    assert list(actions(store, "stage=merge")) == [
        *("prepare", "caption", "pretrain", "pseudo_cot", "consistency", "assess", "sft", "merge")
    ]
    few = "evaluate.policies=[random,backbone]"
    below = ["prepare", "rank random", "caption", "pretrain", "rank backbone", "evaluate"]
    assert list(ids(few)) == below


def test_what_a_living_process_builds_was_not_interrupted(store):
    prepare = steps(store, "stage=prepare")[0]
    partial_of(prepare.folder).mkdir(parents=True)
    assert actions(store, "stage=prepare") == {"prepare": "resume"}
    with locks.held(prepare.lock):
        assert actions(store, "stage=prepare") == {"prepare": "build"}
        assert whys(store, "stage=prepare") == {"prepare": "another process is building it"}
    dead = {**locks.me(), "start": "1"}
    write_json(prepare.lock, dead)
    assert whys(store, "stage=prepare") == {"prepare": "an earlier build was interrupted"}


def test_beta_touches_grpo_and_what_stands_on_it():
    assert touched("grpo.beta=0.1") == {"grpo", "rank grpo", "evaluate"}
    assert touched("reward.hit_format.miss=0.0") == {"grpo", "rank grpo", "evaluate"}
    assert touched("algorithm=dr_grpo") == {"grpo", "rank grpo", "evaluate"}


def test_words_for_prompts_touch_no_data():
    changed = touched("dataset.noun=book")
    assert "prepare" not in changed and "rank popularity" not in changed
    assert {"pretrain", "sft", "rank backbone", "grpo"} <= changed


def test_data_touch_everything():
    everything = set(ids())
    for word in ("dataset.users=2999", "prepare.history_length=7", "seed=43"):
        assert touched(word) == everything, word


@pytest.mark.parametrize(
    "word",
    [
        *("sft.save_steps=50", "pretrain.save_steps=50"),
        *("grpo.save_steps=5", "threads=1"),
        *("tracking=off", "dataset.max_bad_rows=3", "artifacts=elsewhere", "plan_only=true"),
        *("force=[sft]", "yes=true"),
    ],
)
def test_what_cannot_change_a_result_splits_no_identity(word):
    assert touched(word) == set()


def test_the_same_number_written_otherwise_is_the_same_artifact():
    words = ("grpo.beta=5e-2", "cot_prob=1e-1", "prepare.protocols=['uni9',uni99,pop9]")
    assert touched(*words) == set()


def test_where_an_adapter_sits_does_not_rebuild_the_backbone():
    changed = touched("backbone.lora_targets=[q_proj]")
    assert "pretrain" not in changed and "prepare" not in changed
    assert {"sft", "grpo", "evaluate"} <= changed
    assert "pretrain" in touched("backbone.layers=2")


def test_a_prompt_of_the_merge_check_is_not_part_of_the_merged_model():
    assert "merge" not in touched("merge.check_samples=4", "merge.tolerance.float32=0.1")


def test_what_only_evaluates_trains_nothing():
    assert touched("evaluate.k=[1,5]") == {"evaluate"}
    assert touched("evaluate.compare_k=3") == {"evaluate"}
    assert all(label.startswith(("rank", "eval")) for label in touched("evaluate.samples={}"))


def test_no_share_of_rationales_means_no_rationales():
    none = ids("cot_prob=0")
    assert not none.keys() & {"pseudo_cot", "consistency", "assess", "hints validation"}
    for word in ("reasoner.recent=5", "assess.share=0.1", "prompt.inject=none"):
        assert touched(word, base=("cot_prob=0",)) == set(), word
    some = ids()
    assert {"pseudo_cot", "consistency", "assess", "hints validation"} <= some.keys()
    assert some["prepare"] == none["prepare"] and some["pretrain"] == none["pretrain"]
    assert some["sft"] != none["sft"]
    only_grpo = ids("cot_prob=0", "grpo.cot_prob=0.1")
    assert "assess" in only_grpo and only_grpo["sft"] == none["sft"]
    assert ids("prompt.inject=none") == none  # a rationale that goes nowhere is none
    thinking = ("prompt.inject=completion", "algorithm/rollout=sample", "cot_prob=0")
    typed = ("algorithm.rollout.constraint=null", "grpo.max_completion_length=90")
    # a thought comes first then, if only an empty one
    assert {"sft", "grpo"} <= {k for k, v in ids(*thinking, *typed).items() if v != none[k]}


def test_captions_are_made_where_prompts_show_them():
    assert "caption" in ids() and "caption" not in ids("prompt.captions=false")
    base = ("prompt.captions=false",)
    for word in ("captioner.size=64", "prompt.caption_words=9", "prompt.caption=' {caption}'"):
        assert touched(word, base=base) == set(), word
    changed = touched("prompt.caption_words=9")
    assert {"pretrain", "sft", "grpo"} <= changed
    assert not changed & {"prepare", "caption", "pseudo_cot", "rank popularity"}


def test_the_three_variants_of_the_study_share_what_they_can():
    plain, captions, rationales = (
        ids(*words)
        for words in (("prompt.captions=false", "cot_prob=0"), ("cot_prob=0",), ("cot_prob=0.1",))
    )
    for label in ("prepare", "rank random", "rank popularity", "rank oracle"):
        assert plain[label] == captions[label] == rationales[label], label
    for label in ("caption", "pretrain", "rank backbone", "rank backbone_text"):
        assert captions[label] == rationales[label] != plain.get(label), label


def test_the_control_does_not_depend_on_what_only_grpo_has():
    for word in ("grpo.beta=0.2", "grpo.num_generations=4", "grpo.learning_rate=1e-4"):
        assert not touched(word) & {"sft_continued", "rank sft_continued"}, word
    assert "sft_continued" in touched("grpo.max_steps=50")  # as many steps as GRPO takes


def test_a_sweep_trains_each_thing_once():
    """2 shares × 3 betas: two SFT models, six GRPO models, one backbone, one assessment."""
    points = [
        ids(f"cot_prob={share}", f"grpo.beta={beta}")
        for share, beta in itertools.product((0, 0.1), (0.05, 0.1, 0.2))
    ]
    counts = {label: len({point[label] for point in points}) for label in CHAIN}
    assert counts == {
        **{"prepare": 1, "pretrain": 1, "sft": 2, "merge": 2, "sft_continued": 2},
        **{"grpo": 6, "evaluate": 6},
    }


def test_a_new_version_of_a_stage_is_another_artifact(monkeypatch):
    before = ids("stage=sft")
    monkeypatch.setattr(type(config("stage=sft").stages["pretrain"]), "version", 99)
    after = ids("stage=sft")
    assert before["prepare"] == after["prepare"]
    assert before["pretrain"] != after["pretrain"] and before["sft"] != after["sft"]


def test_a_missing_chain_is_built(store):
    assert set(actions(store).values()) == {"build"}
    assert set(whys(store).values()) == {"not built yet"}


def test_a_whole_chain_is_reused(store):
    publish(store)
    assert set(actions(store).values()) == {"reuse"}
    assert set(whys(store).values()) == {"built before"}


def test_nothing_below_what_is_there_is_needed(store):
    publish(store, "evaluate")
    found = actions(store)
    assert found.pop("evaluate") == "reuse"
    assert set(found.values()) == {"skip"}
    assert whys(store)["sft"] == "what stands on it is there"


def test_only_the_missing_part_is_built(store):
    publish(store)
    found = actions(store, "grpo.beta=0.1")
    built = {label for label, action in found.items() if action == "build"}
    assert built == {"grpo", "rank grpo", "evaluate"}
    why = whys(store, "grpo.beta=0.1")
    assert why["grpo"] == "beta 0.05 → 0.1"
    assert why["rank grpo"] == why["evaluate"] == "what it stands on differs"


def test_why_names_the_group_the_seed_and_no_more_than_three_knobs(store):
    publish(store, "prepare", words=("stage=prepare",))
    many = [f"dataset.{name}=9" for name in ("users", "seed", "tail", "longest")]
    why = whys(store, "stage=prepare", "seed=1", *many, "dataset.items=200")["prepare"]
    assert why.count("→") == 3 and "groups.dataset.items 300 → 200" in why
    assert whys(store, "stage=prepare", "seed=1")["prepare"] == "seed 42 → 1"


def test_why_compares_with_a_rank_of_the_same_policy(store):
    publish(store)
    assert "random" not in whys(store, "seed=1")["rank popularity"]


def test_a_damaged_neighbour_does_not_stop_a_plan(store):
    publish(store, "prepare", words=("stage=prepare",))
    (manifest,) = store.root.rglob("manifest.json")
    manifest.write_text("{")
    assert whys(store, "stage=prepare", "seed=1")["prepare"] == "not built yet"


def test_an_interrupted_build_is_resumed(store):
    publish(store, "prepare", "pretrain")
    sft = next(step for step in steps(store) if step.label == "sft")
    partial_of(sft.folder).mkdir(parents=True)
    found = actions(store)
    assert (found["pretrain"], found["sft"], found["merge"]) == ("reuse", "resume", "build")
    assert whys(store)["sft"] == "an earlier build was interrupted"


def test_force_builds_a_stage_and_what_stands_on_it_again(store):
    publish(store)
    found, why = actions(store, "force=[merge]"), whys(store, "force=[merge]")
    built = {label for label, action in found.items() if action == "build"}
    after = {"merge", "sft_continued", "grpo", "evaluate"}
    assert built == after | {"rank sft", "rank sft_continued", "rank grpo"}
    assert why["merge"] == "forced" and why["grpo"] == "stands on what was forced"
    assert actions(store, "force=[rank]")["rank random"] == "build"


def test_force_needs_what_lies_below(store):
    """Of a chain of which only the goal is there, forcing the middle brings back the rest."""
    publish(store, "evaluate")
    found = actions(store, "force=[sft]")
    assert found["prepare"] == found["pretrain"] == found["sft"] == "build"


def test_force_of_a_stage_that_does_not_exist_is_refused():
    with pytest.raises(Refusal, match=r"force\.1='grop': no stage of this name, known: prepare,"):
        config("force=[sft,grop]")
    with pytest.raises(Refusal, match=r"force\.0='ls'"):
        config("force=[ls]")


def test_adopting_replaces_the_chain_below(store, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    found = ids("stage=merge", f"sft.adopt={adapter}")
    assert list(found) == ["prepare", "caption", "sft", "pretrain", "merge"]
    step = next(s for s in steps(store, "stage=sft", f"sft.adopt={adapter}") if s.label == "sft")
    assert step.inputs == {} and set(step.identity) == {"version", "seed", "inputs", "adopted"}


def test_a_step_knows_whether_it_is_built(store):
    publish(store, "prepare", words=("stage=prepare",))
    (step,) = steps(store, "stage=prepare")
    assert step.is_built
    assert not replace(step, folder=step.folder.with_name("0" * 16)).is_built
    said = json.loads((step.folder / "manifest.json").read_text())
    assert said["identity"]["groups"]["dataset"]["users"] == 6000
    assert "noun" not in said["identity"]["groups"]["dataset"]


def test_a_seed_of_grpo_touches_grpo_and_its_control_alone(store):
    """Samples and ties go by the top's seed, so that the models of several seeds are paired."""
    below = {"grpo", "sft_continued", "evaluate"}
    assert touched("grpo.seed=1") == below | {"rank grpo", "rank sft_continued"}
    assert touched("sft_continued.seed=1") == {"sft_continued", "rank sft_continued", "evaluate"}
    assert ids("grpo.seed=42") == ids()  # it is the top's
    seeds = {step.label: step.identity["seed"] for step in steps(store, "grpo.seed=1")}
    assert {label for label, seed in seeds.items() if seed == 1} == {"grpo", "sft_continued"}
    assert {seed for label, seed in seeds.items() if label.startswith("rank")} == {42}


def test_another_seed_of_the_top_is_another_chain_whatever_grpos():
    assert touched("seed=7", base=("grpo.seed=1",)) >= {"prepare", "grpo", "rank grpo"}
