"""How much memory a trained stage takes: weights, what is trained, activations, logits.

Activations are what automatic differentiation keeps for one token and one layer, counted on the
tensors that it saved (tests count them again). With h the width, f the feed-forward's, q and k the
widths of all queries and of all keys, a token takes c·(h, f, q, k) bytes in a layer.
"""

from dataclasses import dataclass
from typing import Any

from mllmrec.hardware.machine import GIB
from mllmrec.hardware.shape import Shape

# c by the bytes of a number, and by whether all parameters are trained or an adapter alone.
KEPT = {
    (4, False): (16.0, 16.0, 20.3, 4.2),
    (4, True): (24.0, 16.0, 24.3, 8.2),
    (2, False): (18.5, 8.2, 14.4, 4.3),
    (2, True): (16.0, 8.0, 14.3, 6.2),
}
LOGIT = 12  # bytes: a logit, its log-probability in float32 and the gradient of it
# What a process holds beside these: the libraries, and on a GPU the context and what allocation
# leaves unused.
BASE = {True: 1.2 * GIB, False: 0.75 * GIB}


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes by what they are for, at so many ``tokens`` in memory at once."""

    weights: float
    trained: float
    activations: float
    logits: float
    cache: float
    base: float
    tokens: int

    @property
    def total(self) -> float:
        return self.fixed + self.activations + self.logits + self.cache

    @property
    def fixed(self) -> float:
        """What is there whatever the batch is."""
        return self.weights + self.trained + self.base

    @property
    def per_token(self) -> float:
        """Those that grow with ``tokens_per_batch``."""
        return (self.total - self.fixed) / self.tokens


def need(
    stage: Any,
    shape: Shape,
    targets: Any,
    items: int,
    *,
    tokens: int,
    on_gpu: bool,
    width: int,
    shards: int = 1,
    is_written: bool,
) -> Need:
    """The memory that one trained stage takes.

    ``tokens`` are in memory at once; ``width`` is the bytes of a weight, and a process holds one of
    so many ``shards`` of them; ``items`` have tokens of their own; answers are ``is_written`` where
    they are made token by token, over a cache of keys and values.
    """
    lora = getattr(stage, "lora", None)
    if lora is None:  # all parameters, in the type of the weights: gradients and AdamW's two
        trained = 3.0 * width * shape.parameters
    else:  # in float32: the adapter, its gradients and AdamW's two averages
        rows = items * shape.hidden if lora.item_rows else 0
        trained = 16.0 * (shape.adapter(lora.r, targets) + rows)
    return Need(
        weights=width * shape.parameters / shards,
        trained=trained,
        activations=tokens * kept(shape, width, lora is None, stage.gradient_checkpointing),
        logits=tokens * share_of_logits(stage) * LOGIT * shape.vocab,
        cache=2.0 * width * shape.layers * shape.keys * tokens * is_written,
        base=BASE[on_gpu],
        tokens=tokens,
    )


def kept(shape: Shape, width: int, is_full: bool, is_checkpointed: bool) -> float:
    """Bytes that one token takes in all layers until its gradient is known.

    With checkpointing the input of every layer, and all of one layer at a time.
    """
    sizes = (shape.hidden, shape.intermediate, shape.queries, shape.keys)
    layer = sum(c * size for c, size in zip(KEPT[width, is_full], sizes, strict=True))
    if is_checkpointed:
        return layer + shape.layers * width * shape.hidden
    return layer * shape.layers


def share_of_logits(stage: Any) -> float:
    """The share of tokens to which the output head is applied.

    All of them in pretraining; in SFT from the first line of the history on, or the answer's alone;
    in GRPO those of the answers.
    """
    if not hasattr(stage, "lora"):
        return 1.0
    if hasattr(stage, "history_loss"):
        return 0.6 if stage.history_loss else 0.08
    return 0.25
