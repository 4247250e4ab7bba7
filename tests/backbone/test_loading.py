"""A model is loaded whole or not at all."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from mllmrec.backbone.loading import load_model, load_tokenizer
from mllmrec.errors import Refusal
from tests.launching import config

WEIGHTS = "model.safetensors"


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def folder(request, tmp_path):
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "vocab_size": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    made = Qwen3Config(**shape, **heads, tie_word_embeddings=request.param)
    Qwen3ForCausalLM(made).save_pretrained(tmp_path)
    return tmp_path


def change(folder, name, tensor):
    weights = load_file(folder / WEIGHTS)
    del weights[name]
    if tensor is not None:
        weights[name] = tensor
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def test_a_whole_model_is_loaded_with_its_head_tied_or_not(folder):
    assert load_model(folder, config().backbone).config.num_hidden_layers == 2


@pytest.mark.parametrize("tensor", [None, torch.zeros(3, 3)], ids=["missing", "mismatched"])
def test_weights_that_do_not_fill_the_model_are_refused(folder, tensor):
    """transformers would draw them at random and say so in a warning."""
    name = "model.layers.1.mlp.up_proj.weight"
    change(folder, name, tensor)
    with pytest.raises(Refusal) as refusal:
        load_model(folder, config().backbone)
    assert "backbone.path=DIR" in refusal.value.do
    assert tensor is not None or refusal.value.wrong.endswith(f"the weights lack {name}")


@pytest.mark.parametrize("end", ["<end>", None])
def test_a_tokenizer_without_a_pad_token_pads_with_the_end(tmp_path, end):
    words = Tokenizer(WordLevel({"<end>": 0, "a": 1}, unk_token="a"))
    made = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=end)
    made.chat_template = "{{ messages }}"
    made.save_pretrained(tmp_path)
    if end:
        found = load_tokenizer(tmp_path)
        assert (found.pad_token, found.pad_token_id, found.padding_side) == ("<end>", 0, "left")
    else:
        with pytest.raises(Refusal, match="neither a pad token"):
            load_tokenizer(tmp_path)
