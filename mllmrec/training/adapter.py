"""Low-rank adapters: make one on a model, save it, and load it from a folder."""

import json
import warnings
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open

from mllmrec.artifacts import write_json
from mllmrec.backbone.base import Backbone
from mllmrec.backbone.loading import first_line, sample_of
from mllmrec.errors import Refusal
from mllmrec.training.options import Lora

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
KIND = {"peft_type": "LORA", "task_type": "CAUSAL_LM"}
FITTING = "type the backbone= it was trained on, or sft.adopt=null"


def lora_config(lora: Lora, backbone: Backbone, tokenizer: Any) -> LoraConfig:
    """PEFT's config of this adapter; item rows are those of tokens that begin with ``[ITEM_``."""
    rows = {}
    if lora.item_rows:
        added = tokenizer.get_added_vocab()
        items = sorted(id for token, id in added.items() if token.startswith("[ITEM_"))
        rows = {"trainable_token_indices": {"embed_tokens": items}} if items else {}
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=backbone.lora_targets,
        **rows,
    )


def save_adapter(model: Any, folder: Path) -> None:
    """Save an adapter as safetensors, without the path of the base, which is not its own."""
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / CONFIG).read_text())
    if isinstance(config["target_modules"], list):  # a set to PEFT, in an order of the moment
        config["target_modules"].sort()
    write_json(folder / CONFIG, {**config, "base_model_name_or_path": None})


def load_adapter(model: Any, folder: Path) -> PeftModel:
    """Put the adapter of a folder on a model.

    Raises:
        Refusal: the folder holds none, its weights are damaged, or they do not fit the model.
    """
    names = check_adapter(folder)
    try:
        with warnings.catch_warnings():  # what it only warns of is refused below
            warnings.filterwarnings("ignore", message=".*missing adapter keys.*")
            adapted = PeftModel.from_pretrained(model, folder)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise Refusal(
            f"{folder}: the adapter does not fit the backbone ({first_line(error)})",
            allowed="an adapter that was trained on this backbone",
            do=FITTING,
        ) from error
    needed = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    known = needed | set(get_peft_model_state_dict(adapted, save_embedding_layers=True))
    for what, wrong in (("lacks", needed - names), ("has, unknown to it,", names - known)):
        if wrong:
            raise Refusal(
                f"{folder}: the adapter does not fit the backbone, it {what} {sample_of(wrong)}",
                allowed="an adapter that was trained on this backbone",
                do=FITTING,
            )
    return adapted


def check_adapter(folder: Path) -> set[str]:
    """The names of an adapter's weights; refuses a folder that is not a whole adapter of LoRA."""
    allowed = f"{CONFIG} and {WEIGHTS}, as PEFT's save_pretrained writes them"
    do = "type sft.adopt=DIR with a whole adapter"
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise Refusal(f"{folder}: {name} is missing", allowed=allowed, do=do)
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            keys = set(file.keys())
    except (SafetensorError, OSError) as error:
        raise Refusal(
            f"{folder / WEIGHTS}: damaged ({first_line(error)})", allowed=allowed, do=do
        ) from error
    if not keys:
        raise Refusal(f"{folder / WEIGHTS}: holds no weights", allowed=allowed, do=do)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = {name: config.get(name) for name in KIND}
    except (OSError, ValueError, AttributeError) as error:  # AttributeError: JSON, but no object
        raise Refusal(
            f"{folder / CONFIG}: damaged ({first_line(error)})", allowed=allowed, do=do
        ) from error
    for name, value in KIND.items():
        if found[name] != value:
            raise Refusal(
                f"{folder / CONFIG}: {name} is {found[name]!r}",
                allowed=f"{name} {value!r}: low-rank weights of a causal language model",
                do=do,
            )
    return keys
