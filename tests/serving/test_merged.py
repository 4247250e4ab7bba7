"""The saved model is the policy, to plain transformers; what rounding takes is told."""

import json
import logging

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, Qwen3ForCausalLM

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.policy.model import ModelPolicy
from mllmrec.records import Prepared
from mllmrec.serving.merged import check_lost, make_portable, save_merged
from mllmrec.stage.base import Job
from mllmrec.training.adapter import lora_config, save_adapter
from mllmrec.training.options import Lora, Tolerance
from mllmrec.training.pretrain import build_tokenizer, save, shape
from tests.launching import SMALL, config, make

TOLERANCE = Tolerance(float32=1e-3, bfloat16=0.3)
WORDS = "Recommend something to watch."


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A random model and a random adapter on it, as stages leave them."""
    words = ("stage=prepare", *SMALL, "dataset.users=25", "dataset.items=40")
    store = Store(root=tmp_path_factory.mktemp("store"))
    prepared = Prepared(make(store, *words)["prepare"].folder)
    knobs = ["backbone.layers=1", "backbone.hidden_size=32", "backbone.vocab_size=512"]
    found = config(*knobs, "backbone.dtype=float32", "prompt.captions=false")
    groups = {name: found.groups[name] for name in ("backbone", "prompt", "words")}
    tokenizer = build_tokenizer(found.backbone, prepared, found.prompt, groups["words"])
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(shape(found.backbone, tokenizer))
    base, adapter = (tmp_path_factory.mktemp(name) for name in ("base", "adapter"))
    save(model, tokenizer, base)
    lora = Lora(r=4, alpha=8.0, dropout=0.0, item_rows=True)
    moved = get_peft_model(model, lora_config(lora, found.backbone, tokenizer))
    with torch.no_grad():
        for name, weight in moved.named_parameters():
            if "lora_B" in name or "trainable_tokens_delta" in name:
                weight.normal_(std=0.05)
    save_adapter(moved, adapter)
    return {"prepare": prepared.folder, "model": base, "adapter": adapter}, groups


def exported(made, out, kind="backbone", room=None):
    inputs, groups = made
    out.mkdir()
    job = Job(out=out, inputs=inputs, groups=groups, seed=0)
    return job, save_merged(job, kind, 4, TOLERANCE, room)


def test_plain_transformers_gives_the_policys_own_logits(made, tmp_path):
    job, metrics = exported(made, tmp_path / "out")
    policy = ModelPolicy(job, 1000)
    tokenizer = AutoTokenizer.from_pretrained(job.out)
    model = AutoModelForCausalLM.from_pretrained(job.out, dtype="auto")
    asked = [{"role": "user", "content": WORDS}]
    ids = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, enable_thinking=False, return_tensors="pt"
    )["input_ids"]
    assert ids[0].tolist() == policy.prompt.encode(policy.tokenizer, WORDS)
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, policy.model(ids).logits, atol=1e-5)
        plain = AutoModelForCausalLM.from_pretrained(made[0]["model"])
        assert not torch.allclose(plain(ids).logits, policy.model(ids).logits, atol=1e-2)
    assert metrics["max_logp_difference"] < 1e-5 < 1e-2 < metrics["max_logp_change"]
    assert metrics["parameters"] == sum(p.numel() for p in model.parameters())


def test_a_plain_generate_writes_greedily_and_stops(made, tmp_path):
    job, _ = exported(made, tmp_path / "out")
    found = GenerationConfig.from_pretrained(job.out)
    tokenizer = AutoTokenizer.from_pretrained(job.out)
    assert found.do_sample is False and found.temperature in (None, 1.0) and not found.top_k
    assert found.eos_token_id == [tokenizer.eos_token_id]
    assert found.pad_token_id == tokenizer.pad_token_id
    assert found.max_new_tokens == 2  # the item's own token, and the end of the turn
    _, _ = exported(made, tmp_path / "other", room=77)
    assert GenerationConfig.from_pretrained(tmp_path / "other").max_new_tokens == 77


def test_in_bfloat16_weights_are_rounded_once(made, tmp_path):
    job, metrics = exported(made, tmp_path / "out", kind="bfloat16")
    model = AutoModelForCausalLM.from_pretrained(job.out, dtype="auto")
    exact, _ = exported(made, tmp_path / "exact")
    whole = AutoModelForCausalLM.from_pretrained(exact.out, dtype="auto").state_dict()
    assert model.dtype == torch.bfloat16
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, whole[name].bfloat16()), name
    assert 1e-6 < metrics["max_logp_difference"] < 0.3


def test_a_model_that_is_not_the_policy_any_more_is_refused(caplog):
    with pytest.raises(Refusal, match=r"differ by 0\.5 nats") as refusal:
        check_lost(0.5, 2.0, "bfloat16", TOLERANCE)
    assert "export.dtype=float32" in refusal.value.do
    with pytest.raises(Refusal):
        check_lost(float("nan"), 2.0, "float32", TOLERANCE)
    with caplog.at_level(logging.WARNING, logger="mllmrec"):
        check_lost(0.02, 2.0, "bfloat16", TOLERANCE)
        assert not caplog.messages
        check_lost(0.02, 0.03, "bfloat16", TOLERANCE)
    assert "little of it may be left" in caplog.text


def test_older_readers_find_what_they_look_for(tmp_path):
    config = {"dtype": "bfloat16", "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    told = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"]}
    told |= {"is_local": True, "name_or_path": "/somewhere"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    make_portable(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16" and config["rope_theta"] == 1e6
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "additional_special_tokens": ["<a>"],
    }
