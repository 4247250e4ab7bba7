"""A Qwen3-shaped model of about a million parameters, built and pre-trained on the spot."""

from typing import Annotated

from pydantic import Field

from mllmrec.backbone.base import Backbone

Size = Annotated[int, Field(ge=1)]


class Tiny(Backbone):
    """The shape of a small model; the stage ``pretrain`` makes it and its tokenizer.

    With ``item_tokens`` the marker ``[ITEM_id]`` of every item is a token of its own.
    """

    hidden_size: Size
    layers: Size
    heads: Size
    kv_heads: Size
    head_dim: Size
    intermediate_size: Size
    vocab_size: Annotated[int, Field(ge=300)]
    max_length: Size
    item_tokens: bool

    @property
    def is_built(self) -> bool:
        return True
