"""Parameters by formula, against transformers and PEFT, and against what was published."""

import json
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from mllmrec.hardware.shape import KNOWN, of_config, of_folder, shape_of
from tests.launching import config

SMALL = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "vocab_size": 99}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2}
CONFIGS = [
    Qwen3Config(**SMALL, head_dim=16, tie_word_embeddings=True),
    Qwen3Config(**SMALL, head_dim=8, tie_word_embeddings=False),
    Qwen2Config(**SMALL, tie_word_embeddings=True),
    LlamaConfig(**SMALL),
]


def on_paper(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda one: one.model_type)
def test_parameters_are_those_of_transformers(config):
    shape = of_config(json.loads(config.to_json_string(use_diff=False)))
    model = on_paper(config)
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())
    adapted = get_peft_model(model, LoraConfig(r=3, target_modules="all-linear"))
    assert shape.adapter(3, "all-linear") == adapted.get_nb_trainable_parameters()[0]


def test_an_adapter_on_some_modules():
    model = get_peft_model(
        on_paper(CONFIGS[0]), LoraConfig(r=5, target_modules=["q_proj", "v_proj"])
    )
    shape = of_config(json.loads(CONFIGS[0].to_json_string(use_diff=False)))
    assert shape.adapter(5, ["q_proj", "v_proj"]) == model.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize(
    ("name", "billions", "without_embeddings"),
    [
        ("Qwen/Qwen3-0.6B", 0.6, 0.44),
        ("Qwen/Qwen3-1.7B", 1.7, 1.4),
        ("Qwen/Qwen3-4B", 4.0, 3.6),
        ("Qwen/Qwen3-8B", 8.2, 6.95),
    ],
)
def test_published_models_have_their_published_parameters(name, billions, without_embeddings):
    """The numbers of their model cards."""
    shape = KNOWN[name]
    assert round(shape.parameters / 1e9, 1) == billions
    embeddings = shape.vocab * shape.hidden * (1 if shape.tied else 2)
    assert (shape.parameters - embeddings) / 1e9 == pytest.approx(without_embeddings, abs=0.05)


def test_the_tiny_backbone_has_its_shape():
    tiny = config("stage=pretrain").backbone
    shape = shape_of(tiny, items=10)
    assert (shape.hidden, shape.layers, shape.vocab) == (tiny.hidden_size, tiny.layers, 2058)
    assert 900_000 < shape.parameters < 1_200_000


def test_a_folder_tells_its_shape_and_a_name_needs_no_network(tmp_path, monkeypatch):
    CONFIGS[0].save_pretrained(tmp_path / "model")
    words = ("stage=sft", "backbone=qwen3_4b")
    own = config(*words, f"backbone.path={tmp_path / 'model'}").backbone
    assert shape_of(own) == of_folder(tmp_path / "model")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert shape_of(config(*words).backbone) == KNOWN["Qwen/Qwen3-4B"]
    unknown = config(*words, "backbone.path=some/other").backbone
    assert shape_of(unknown) is None
    CONFIGS[3].save_pretrained(tmp_path / "hub" / "models--some--other" / "snapshots" / "abc")
    assert shape_of(unknown).layers == 2
    (tmp_path / "model" / "config.json").write_text("{}")
    assert shape_of(own) is None
    assert shape_of(SimpleNamespace()) is None


def test_known_shapes_are_those_of_the_published_configs():
    """Widths that transformers has for these models by default, where it has."""
    default = AutoConfig.for_model("qwen3")
    assert {shape.vocab for shape in KNOWN.values()} == {default.vocab_size}
    assert {shape.head_dim for shape in KNOWN.values()} == {default.head_dim}
