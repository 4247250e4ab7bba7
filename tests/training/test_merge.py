"""What is published after a merge is what the adapter said, as it lies on disk."""

import pytest
import torch
from peft import get_peft_model

from mllmrec.errors import Refusal
from mllmrec.stage.base import Job
from mllmrec.training.adapter import lora_config, save_adapter
from mllmrec.training.merge import check_model, run_merge


@pytest.fixture
def job(model, config, tokenizer, prepared, tmp_path):
    """A base and an adapter on it, on disk."""
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    made = get_peft_model(model, lora_config(config.stages["sft"].lora, config.backbone, tokenizer))
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    save_adapter(made, tmp_path / "adapter")
    (tmp_path / "out").mkdir()
    inputs = {"prepare": prepared.folder, "model": tmp_path / "base", "sft": tmp_path / "adapter"}
    groups = {name: config.groups[name] for name in ("backbone", "prompt", "words")}
    return Job(out=tmp_path / "out", inputs=inputs, groups=groups, seed=0)


def test_the_saved_model_says_what_the_adapter_said(job, config):
    told = run_merge(2, config.stages["merge"].tolerance, job)
    assert told["max_logp_difference"] < 1e-4
    check_model(job.out)


def test_a_model_that_was_saved_wrongly_is_refused(job, config, monkeypatch):
    """The one in memory is right: only a look at the saved one can tell."""
    from safetensors.torch import load_file, save_file
    from transformers import PreTrainedModel

    right = PreTrainedModel.save_pretrained

    def wrong(self, folder, **more):
        right(self, folder, **more)
        weights = load_file(folder / "model.safetensors")
        weights = {name: tensor * 1.5 for name, tensor in weights.items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", wrong)
    with pytest.raises(Refusal, match="log-probabilities differ"):
        run_merge(2, config.stages["merge"].tolerance, job)


@pytest.mark.parametrize("name", ["adapter_config.json", "model.bin", "old.pt", "optimizer.pth"])
def test_a_model_with_something_beside_it_is_refused(tmp_path, name):
    """transformers would load the adapter's base, or what can run code."""
    (tmp_path / name).write_text("{}")
    with pytest.raises(Refusal, match=f"holds {name}"):
        check_model(tmp_path)
