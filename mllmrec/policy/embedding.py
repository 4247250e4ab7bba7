"""Texts as vectors, by a model of transformers: the mean of its last hidden states."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from mllmrec.backbone.loading import device
from mllmrec.errors import Refusal

log = logging.getLogger(__name__)

ROWS = 64  # texts at once


def embed(name: str, texts: Sequence[str]) -> np.ndarray:
    """One vector a text, (n, d), over its own tokens alone; texts that had to be cut are counted.

    No code of a model's repository is run.

    Raises:
        Refusal: there is no such model, or its weights are not safetensors.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        model = AutoModel.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
        model = model.to(device()).eval()
    except (OSError, ValueError) as error:
        raise Refusal(
            f"assess.embedder={name}: {' '.join(str(error).split())[:200]}",
            allowed="tfidf, or a model of transformers with safetensors: a folder or a hub name",
            do="type assess.embedder=tfidf, or the folder of an embedding model",
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    limit, found, cut = longest(tokenizer, model), [], 0
    for start in range(0, len(texts), ROWS):
        some = list(texts[start : start + ROWS])
        cut += sum(len(ids) > limit for ids in tokenizer(some, verbose=False)["input_ids"])
        rows = tokenizer(
            some, padding=True, truncation=True, max_length=limit, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            states = model(**rows).last_hidden_state.float()
        mask = rows["attention_mask"][..., None].to(states)
        found.append(((states * mask).sum(1) / mask.sum(1).clamp(min=1)).cpu().numpy())
    if cut:
        log.warning(
            "assess.embedder=%s: %d of %d texts are longer than the %d tokens it takes, and were"
            " cut",
            *(name, cut, len(texts), limit),
        )
    return np.concatenate(found) if found else np.zeros((0, 1))


def longest(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> int:
    """The most tokens that a model takes, by what its tokenizer and its config say."""
    places = getattr(model.config, "max_position_embeddings", None)
    return min(tokenizer.model_max_length, places or tokenizer.model_max_length)
