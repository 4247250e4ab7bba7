import json

import pytest

from mllmrec.artifacts import Store, write_json
from mllmrec.errors import Refusal
from mllmrec.stage.sft import tokens_of
from tests.launching import SMALL, config, ids, make


def test_it_stands_on_rationales_only_where_some_sample_carries_one():
    for words, expected in (
        *(((), True), (("cot_prob=0",), False), (("cot_prob=0", "sft.cot_prob=0.1"), True)),
        *((("prompt.inject=none",), False), (("prompt.inject=completion",), True)),
    ):
        typed = ("algorithm/rollout=sample", "algorithm.rollout.constraint=null")
        made = config(*words, *typed, "grpo.max_completion_length=90")
        assert ("rationales" in made.stages["sft"].inputs(made)) is expected


def test_the_rationales_of_grpo_do_not_touch_sft():
    assert ids("grpo.cot_prob=0.2")["sft"] == ids()["sft"]
    assert ids("grpo.cot_prob=0.2")["grpo"] != ids()["grpo"]


def test_the_control_follows_the_steps_of_grpo_but_not_its_beta():
    assert ids("grpo.beta=0.3")["sft_continued"] == ids()["sft_continued"]
    assert config("grpo.max_steps=7").stages["sft_continued"].max_steps == 7
    assert ids("grpo.max_steps=7")["sft_continued"] != ids()["sft_continued"]


def test_another_history_loss_is_another_model():
    assert ids("sft.history_loss=0.5")["sft"] != ids()["sft"]


def test_what_the_trainer_would_not_heed_is_refused():
    with pytest.raises(Refusal, match="packing would have no effect"):
        config("+sft.trainer_args.packing=true")


def test_the_control_at_equal_tokens_stands_on_grpo():
    """Its length is what GRPO read, so that its own knobs of length are none."""
    made = ids("sft_continued.match=tokens")
    assert made["sft_continued"] != ids()["sft_continued"] and made["grpo"] == ids()["grpo"]
    for word in ("grpo.beta=0.3", "grpo.max_steps=7", "algorithm=dr_grpo"):
        assert ids("sft_continued.match=tokens", word)["sft_continued"] != made["sft_continued"]
    with pytest.raises(Refusal, match=r"sft_continued\.max_steps has no effect") as told:
        config("sft_continued.match=tokens", "sft_continued.max_steps=9")
    assert "leave sft_continued.max_steps out" in told.value.do


def test_grpo_that_counted_no_tokens_is_refused(tmp_path):
    write_json(tmp_path / "manifest.json", {"metrics": {"tokens": 9000.0}})
    assert tokens_of(tmp_path) == 9000.0
    write_json(tmp_path / "manifest.json", {"metrics": {"reward": 1.0}})
    with pytest.raises(Refusal, match="does not say how many tokens") as told:
        tokens_of(tmp_path)
    assert "force=[grpo]" in told.value.do


@pytest.mark.slow
def test_it_reads_as_many_tokens_as_grpo_and_seeds_are_its_own(tmp_path):
    """The step before its last had read fewer. Times are in manifests, and in no history."""
    store = Store(root=tmp_path)
    own = ("pretrain.max_steps=5", "sft.max_steps=5", "grpo.max_steps=4", "grpo.batch_size=4")
    own += ("grpo.probe.every=2", "grpo.probe.samples=10", "grpo.save_steps=2", "cot_prob=0")
    words = (*SMALL, *own, "stage=evaluate", "evaluate.policies=[sft,sft_continued,grpo]")
    first = make(store, *words, "sft_continued.match=tokens", "grpo.seed=0")
    other = make(store, *words, "sft_continued.match=tokens", "grpo.seed=1")
    wanted = first["grpo"].manifest["metrics"]["tokens"]
    history = json.loads((first["sft_continued"].folder / "history.json").read_text())
    read = [entry["tokens"] for entry in history if "tokens" in entry]
    assert read[-1] >= wanted > read[-2]
    assert first["merge"].id == other["merge"].id
    weights = [one["grpo"].folder / "adapter_model.safetensors" for one in (first, other)]
    assert weights[0].read_bytes() != weights[1].read_bytes()
    looked = [
        json.loads((one["grpo"].folder / "history.json").read_text()) for one in (first, other)
    ]
    assert looked[0][0] == looked[1][0]  # the probe's samples before the first step
    for label in ("sft", "sft_continued", "grpo"):
        manifest = first[label].manifest
        assert manifest["times"]["cpu_seconds"] == sorted(manifest["times"]["cpu_seconds"])
        assert manifest["times"]["cpu_seconds"][-1] > 0
        told = {name for entry in json.loads((first[label].folder / "history.json").read_text())
                for name in entry}  # fmt: skip
        assert not any("cpu_seconds" in name or name.startswith("cost/") for name in told)
        assert "times.json" not in manifest["files"]
