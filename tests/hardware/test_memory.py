"""Activations by formula, against the tensors that autograd keeps; what the parts come to."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM

from mllmrec import launches
from mllmrec.hardware.machine import GIB
from mllmrec.hardware.memory import kept, need
from mllmrec.hardware.shape import KNOWN, Shape
from tests.launching import config, launch

BASE = {"hidden": 96, "intermediate": 256, "heads": 6, "kv_heads": 2, "head_dim": 32}
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def shape(layers: int, **more: int) -> Shape:
    return Shape(vocab=128, layers=layers, tied=True, qk_norm=True, **{**BASE, **more})


def counted(of: Shape, dtype: torch.dtype, is_full: bool, is_checkpointed: bool) -> float:
    """Bytes a token that a forward leaves for the backward, but for parameters."""
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=of.vocab,
            hidden_size=of.hidden,
            intermediate_size=of.intermediate,
            num_hidden_layers=of.layers,
            num_attention_heads=of.heads,
            num_key_value_heads=of.kv_heads,
            head_dim=of.head_dim,
            tie_word_embeddings=True,
            attn_implementation="sdpa",
        )
    ).to(dtype)
    if not is_full:
        model = get_peft_model(model, LoraConfig(r=2, target_modules=SEVEN))
    if is_checkpointed:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    model.train()
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    seen = {}

    def pack(tensor):
        store = tensor.untyped_storage()
        if store.data_ptr() not in own:
            seen[store.data_ptr()] = store.nbytes()
        return tensor

    ids = torch.randint(0, of.vocab, (2, 48))
    mask = torch.ones_like(ids)
    mask[0, -5:] = 0
    on_16_bits = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), on_16_bits:
        out = model(input_ids=ids, attention_mask=mask, logits_to_keep=1, use_cache=False)
    del out
    return sum(seen.values()) / ids.numel()


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 4), (torch.bfloat16, 2)])
@pytest.mark.parametrize(
    "more", [{}, {"hidden": 160}, {"intermediate": 512}, {"kv_heads": 6}], ids=str
)
def test_activations_are_what_autograd_keeps(more, dtype, width, is_full):
    """Of one layer more, so that what is there once does not count."""
    found = counted(shape(3, **more), dtype, is_full, False)
    found -= counted(shape(2, **more), dtype, is_full, False)
    assert kept(shape(1, **more), width, is_full, False) == pytest.approx(found, rel=0.08)


def test_checkpointing_keeps_the_input_of_each_layer():
    found = counted(shape(4), torch.float32, False, True)
    found -= counted(shape(3), torch.float32, False, True)
    assert found == pytest.approx(4 * BASE["hidden"], rel=0.01)
    more = kept(shape(4), 4, False, True) - kept(shape(3), 4, False, True)
    assert more == 4 * BASE["hidden"]


def stage(**more):
    lora = SimpleNamespace(r=16, item_rows=True)
    told = {"tokens_per_batch": 1000, "gradient_checkpointing": False, "lora": lora}
    return SimpleNamespace(**{**told, **more})


def test_the_parts_of_a_need():
    """Qwen3-4B in bfloat16: 4.02 billion parameters by 2 bytes; adapters by 16."""
    of = KNOWN["Qwen/Qwen3-4B"]
    args = {"on_gpu": True, "width": 2, "is_written": False}
    found = need(stage(history_loss=0.0), of, SEVEN, 0, tokens=1000, **args)
    assert found.weights == 2 * 4_022_468_096
    assert found.trained == 16 * of.adapter(16, "all-linear")
    assert found.logits == pytest.approx(1000 * 0.08 * 12 * 151936)
    assert found.cache == 0
    with_rows = need(stage(history_loss=0.0), of, SEVEN, 300, tokens=1000, **args)
    assert with_rows.trained - found.trained == 16 * 300 * 2560
    twice = need(stage(history_loss=0.0), of, SEVEN, 0, tokens=2000, **args)
    assert twice.total - found.total == pytest.approx(1000 * found.per_token)
    written = need(
        stage(num_generations=8), of, SEVEN, 0, tokens=1000, **{**args, "is_written": True}
    )
    assert written.cache == 1000 * 147_456, "two times 36 layers, 8 heads of 128, 2 bytes"


def test_all_parameters_have_gradients_and_two_averages():
    of = shape(2)
    full = SimpleNamespace(tokens_per_batch=10, gradient_checkpointing=False)
    found = need(full, of, SEVEN, 0, tokens=10, on_gpu=False, width=4, is_written=False)
    assert found.trained == 12 * of.parameters and found.logits == 10 * 12 * of.vocab


@pytest.mark.slow
def test_the_forecast_is_near_the_measured_peak(tmp_path):
    """A launch that trains a wider model on the CPU, and what its process held at most."""
    wide = ("backbone.hidden_size=256", "backbone.layers=6", "backbone.intermediate_size=768")
    words = ("stage=pretrain", "experiment=debug", *wide, "pretrain.batch_size=100")
    words += ("dataset.users=200", "pretrain.tokens_per_batch=6000", "pretrain.max_steps=1")
    words += ("prompt.captions=false", "tracking=off")
    done = launch(*words, "hydra.run.dir=run", cwd=tmp_path, OMP_NUM_THREADS="2", timeout=280)
    assert done.returncode == 0, done.stderr
    measured = launches.read(tmp_path / "run").told["peak_memory"] / GIB
    line = next(text for text in done.stdout.splitlines() if "at most about" in text)
    told = float(line.split("at most about ")[1].split(" GiB")[0])
    assert config(*words).stages["pretrain"].tokens_per_batch == 6000
    assert 0.75 * measured < told < 1.5 * measured, (told, measured, line)
