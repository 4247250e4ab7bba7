import pytest
import torch
from peft import get_peft_model

from mllmrec.errors import Refusal
from mllmrec.training.adapter import check_adapter, load_adapter, lora_config, save_adapter


@pytest.fixture
def adapted(model, config, tokenizer):
    """An adapter that has moved everything it may."""
    made = get_peft_model(model, lora_config(config.stages["sft"].lora, config.backbone, tokenizer))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return made.eval()


IDS = torch.arange(3, 40)[None]


def test_merging_keeps_the_log_probabilities_item_rows_included(adapted, tokenizer):
    items = [i for t, i in tokenizer.get_added_vocab().items() if t.startswith("[ITEM_")]
    ids = torch.cat([IDS, torch.tensor([items])], dim=1)
    with torch.inference_mode():
        before = adapted(input_ids=ids).logits.log_softmax(-1)
        merged = adapted.merge_and_unload()
        after = merged(input_ids=ids).logits.log_softmax(-1)
    assert (before - after).abs().max() < 1e-4
    assert merged.lm_head.weight.data_ptr() == merged.model.embed_tokens.weight.data_ptr()


def test_switched_off_it_is_the_base(adapted, model, config, tokenizer):
    """GRPO's reference is the merged model: neither the layers nor the item rows may show."""
    from transformers import Qwen3ForCausalLM

    from mllmrec.training.pretrain import shape

    torch.manual_seed(0)
    fresh = Qwen3ForCausalLM(shape(config.backbone, tokenizer)).eval()
    with torch.inference_mode(), adapted.disable_adapter():
        assert torch.equal(adapted(input_ids=IDS).logits, fresh(input_ids=IDS).logits)


def test_saved_and_loaded_it_is_the_same(adapted, config, tokenizer, tmp_path):
    from transformers import Qwen3ForCausalLM

    from mllmrec.training.pretrain import shape

    save_adapter(adapted, tmp_path / "a")
    assert not list((tmp_path / "a").glob("*.bin"))
    assert str(tmp_path) not in (tmp_path / "a/adapter_config.json").read_text()
    torch.manual_seed(0)
    again = load_adapter(Qwen3ForCausalLM(shape(config.backbone, tokenizer)), tmp_path / "a").eval()
    with torch.inference_mode():
        assert torch.equal(again(input_ids=IDS).logits, adapted(input_ids=IDS).logits)


def test_a_truncated_adapter_is_refused(adapted, tmp_path):
    save_adapter(adapted, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(Refusal, match=r"adapter_model.safetensors: damaged .*sft.adopt=DIR"):
        check_adapter(tmp_path)


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"adapter_config\.json is missing"):
        check_adapter(tmp_path)


def renamed(folder, rename):
    """The adapter's weights under other names; those that get None are left out."""
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    weights = {rename(name): tensor for name, tensor in load_file(file).items()}
    save_file({name: tensor for name, tensor in weights.items() if name}, file)


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (lambda name: None if "layers.1.mlp.up_proj.lora_B" in name else name, "it lacks"),
        (lambda name: name.replace("layers.1.", "layers.7."), "it lacks"),
        (lambda name: name.replace("mlp.up_proj", "mlp.other"), "it lacks"),
    ],
    ids=["missing", "layer", "module"],
)
def test_an_adapter_that_fits_by_half_is_refused(adapted, model, tmp_path, rename, said):
    """PEFT would leave the rest at zero and say so in a warning."""
    save_adapter(adapted, tmp_path)
    renamed(tmp_path, rename)
    with pytest.raises(Refusal, match=said) as refusal:
        load_adapter(adapted.unload(), tmp_path)
    assert "sft.adopt=null" in refusal.value.do


def test_an_adapter_with_more_layers_than_the_backbone_is_refused(adapted, tmp_path):
    from safetensors.torch import load_file, save_file

    save_adapter(adapted, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    weights = load_file(file)
    more = {k.replace("layers.1.", "layers.2."): v.clone() for k, v in weights.items()}
    save_file({**weights, **more}, file)
    with pytest.raises(Refusal, match=r"unknown to it, .*layers\.2\..* more"):
        load_adapter(adapted.unload(), tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"peft_type": "IA3", "task_type": "CAUSAL_LM"}', "peft_type is 'IA3'"),
        ('{"peft_type": "LORA", "task_type": "SEQ_CLS"}', "task_type is 'SEQ_CLS'"),
    ],
)
def test_a_config_of_another_kind_is_refused(adapted, tmp_path, text, said):
    save_adapter(adapted, tmp_path)
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(Refusal, match=said) as refusal:
        check_adapter(tmp_path)
    assert "sft.adopt=DIR" in refusal.value.do
