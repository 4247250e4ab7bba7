"""Load models, tokenizers and adapters: safetensors only, no code from outside."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mllmrec import ranks
from mllmrec.backbone.base import Backbone
from mllmrec.errors import Refusal

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def dtype_of(backbone: Backbone) -> torch.dtype:
    """The type of the weights in memory; ``auto`` follows the device."""
    if backbone.dtype == "auto":
        return torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return DTYPES[backbone.dtype]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model's folder, padding on the left as generation needs.

    Raises:
        Refusal: there is none, or it has no chat template.
    """
    do = "type backbone.path=DIR with a folder that holds tokenizer.json and a chat template"
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise Refusal(f"{folder}: holds no tokenizer", allowed=" or ".join(TOKENIZERS), do=do)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"{folder}: its tokenizer cannot be loaded ({first_line(error)})",
            allowed="a folder as transformers' save_pretrained writes it",
            do=do,
        ) from error
    if not tokenizer.chat_template:
        raise Refusal(
            f"{folder}: its tokenizer has no chat template",
            allowed="an instruction-tuned model, whose tokenizer carries one",
            do=do,
        )
    if tokenizer.pad_token is None:  # Llama and others; padding is masked, so any token will do
        if tokenizer.eos_token is None:
            raise Refusal(
                f"{folder}: its tokenizer has neither a pad token nor an end-of-sequence token",
                allowed="a tokenizer that can pad and end a text",
                do=do,
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(folder: Path, backbone: Backbone) -> "PreTrainedModel":
    """The causal language model of a folder, in the backbone's type, on the device.

    Raises:
        Refusal: its config or weights cannot be loaded, or the weights are not all of the model.
    """
    model: Any
    try:
        model, said = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype_of(backbone),
            attn_implementation="sdpa",  # the one that shared prompts build on
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise Refusal(
            f"{folder}: the model cannot be loaded ({first_line(error)})",
            allowed="config.json and whole *.safetensors of a causal model of transformers",
            do="type backbone.path=DIR with a whole folder",
        ) from error
    except Exception as error:  # safetensors raises a kind of its own
        if type(error).__name__ != "SafetensorError":
            raise
        raise Refusal(
            f"{folder}: its weights are damaged ({first_line(error)})",
            allowed="whole *.safetensors files",
            do="copy or download the folder again",
        ) from error
    check_whole(folder, said)
    if ranks.here().sharding:  # its weights come to the devices in parts
        return model
    return model.to(device())


def check_whole(folder: Path, said: Mapping[str, Any]) -> None:
    """Refuse weights that do not fill the model: transformers would draw the rest at random."""
    mismatched = [key if isinstance(key, str) else key[0] for key in said["mismatched_keys"]]
    for what, keys in (("lack", said["missing_keys"]), ("have another shape of", mismatched)):
        if keys:
            raise Refusal(
                f"{folder}: the weights {what} {sample_of(keys)}",
                allowed="config.json and the whole *.safetensors of that same model",
                do="type backbone.path=DIR with a whole folder, or copy this one again",
            )


def sample_of(keys: Iterable[str]) -> str:
    """The first of some names, and how many there are."""
    first, *others = sorted(keys)
    return f"{first} and {len(others)} more" if others else first


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
