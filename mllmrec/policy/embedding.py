"""Texts as vectors, by a model of transformers: the mean of its last hidden states."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from mllmrec.backbone.loading import device
from mllmrec.errors import Refusal

ROWS = 64  # texts at once


def embed(name: str, texts: Sequence[str]) -> np.ndarray:
    """One vector a text, (n, d), over its own tokens alone.

    Raises:
        Refusal: there is no such model, or its weights are not safetensors.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModel.from_pretrained(name, use_safetensors=True).to(device()).eval()
    except (OSError, ValueError) as error:
        raise Refusal(
            f"assess.embedder={name}: {' '.join(str(error).split())[:200]}",
            allowed="tfidf, or a model of transformers with safetensors: a folder or a hub name",
            do="type assess.embedder=tfidf, or the folder of an embedding model",
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    found = []
    for start in range(0, len(texts), ROWS):
        some = list(texts[start : start + ROWS])
        rows = tokenizer(some, padding=True, truncation=True, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            states = model(**rows).last_hidden_state.float()
        mask = rows["attention_mask"][..., None].to(states)
        found.append(((states * mask).sum(1) / mask.sum(1).clamp(min=1)).cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, 1))
