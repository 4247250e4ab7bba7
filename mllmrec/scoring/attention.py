"""Attention of prompts with many answers: each prompt once, each answer beside the others.

Rows lie one behind the other in one sequence, without padding: the tokens of a prompt, then the
nodes of its tries. A prompt attends to itself causally; a trie's nodes attend to the prompt and
to the nodes above them. What is not a row's own is never looked at, so nothing of it is computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from mllmrec.errors import Refusal

NAME = "shared_prefix"  # the name under which transformers' models find it
UNREAD = (1, 1, 1, 1)  # the shape of a mask that is only there so that models make none


@dataclass(frozen=True, kw_only=True)
class Span:
    """Where a row lies: its prompt from ``start`` to ``stop``, and its tries behind it.

    ``tries`` are (start, stop, bias): the bias, (S, P + S), is 0 where a node sees a token of
    the prompt or a node, and −inf elsewhere.
    """

    start: int
    stop: int
    tries: Sequence[tuple[int, int, Tensor]]


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    spans: Sequence[Span] | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """SDPA as transformers calls it; with ``spans`` the rows that they tell of.

    ``query`` (1, H, T, d), ``key`` and ``value`` (1, KV heads, T, d); returns (1, T, H, d).
    """
    if spans is None:
        if attention_mask is not None and attention_mask.shape == UNREAD and key.shape[2] > 1:
            raise unfit(module.config, "does not tell its attention where rows lie")
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **more
        )
    parts = []
    for span in spans:
        own = slice(span.start, span.stop)
        if span.stop > span.start:
            parts.append(causal(query[:, :, own], key[:, :, own], value[:, :, own], scaling))
        for first, last, bias in span.tries:
            keys, values = beside(key, own, first, last), beside(value, own, first, last)
            parts.append(biased(query[:, :, first:last], keys, values, bias, scaling))
    return torch.cat(parts, dim=2).transpose(1, 2), None


def causal(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """A prompt over itself, without a mask: the kernels then skip the upper half."""
    grouped = key.shape[1] != query.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped
    )


def biased(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scaling: float | None
) -> Tensor:
    """Nodes over their prompt and each other, (1, H, S, d).

    Fused kernels take either grouped heads or a bias, not both. So the heads of the keys stand
    where a batch does, and the keys and the bias of a group are views: nothing is copied.
    """
    _, heads, nodes, width = query.shape
    groups = heads // key.shape[1]
    keys, values = (x.transpose(0, 1).expand(-1, groups, -1, -1) for x in (key, value))
    out = F.scaled_dot_product_attention(
        query.reshape(key.shape[1], groups, nodes, width),
        keys,
        values,
        attn_mask=bias.to(query.dtype),
        scale=scaling,
    )
    return out.reshape(1, heads, nodes, -1)


def beside(states: Tensor, prompt: slice, first: int, last: int) -> Tensor:
    """The columns of a prompt and of one of its tries; no copy where they are neighbours."""
    if first == prompt.stop:
        return states[:, :, prompt.start : last]
    return torch.cat([states[:, :, prompt], states[:, :, first:last]], dim=2)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def share_prompts(model: Any) -> None:
    """Let a model's attention take ``spans``; without them it goes on as SDPA does.

    Raises:
        Refusal: its layers would not look at the rows as they lie.
    """
    found = model.config._attn_implementation
    if found == NAME:
        return
    if found != "sdpa":
        raise Refusal(
            f"the model runs {found} attention, which cannot read a prompt once for many answers",
            allowed="sdpa attention",
            do="load it with attn_implementation='sdpa'",
        )
    text = model.config.get_text_config()
    kinds = {*(getattr(text, "layer_types", None) or [])} - {"full_attention"}
    # with layer_types they alone decide; a window of theirs is for layers of that kind
    if not getattr(text, "layer_types", None) and getattr(text, "sliding_window", None):
        kinds = {"sliding_attention"} if getattr(text, "use_sliding_window", True) else set()
    if kinds:
        raise unfit(text, f"has layers of {', '.join(sorted(kinds))}, which would see other tokens")
    model.set_attn_implementation(NAME)
    if model.config._attn_implementation != NAME:  # transformers only warns
        raise unfit(text, "has attention of its own, which cannot be replaced")


def unfit(config: Any, why: str) -> Refusal:
    return Refusal(
        f"a model of the kind {config.model_type} {why}",
        allowed="a model whose layers all have full attention, such as Qwen3 or Llama",
        do="type backbone=qwen3_0_6b, or backbone.path=DIR with such a model",
    )


def positions_of(model: Any) -> int:
    """The longest sequence that a model takes, in tokens."""
    text = model.config.get_text_config()
    found = getattr(text, "max_position_embeddings", None)
    if not isinstance(found, int):
        raise unfit(text, "does not say how long a sequence it takes (max_position_embeddings)")
    return found
