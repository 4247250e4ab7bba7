"""The shape of a language model, from its config, and how many parameters that comes to."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mllmrec.backbone.base import Backbone
from mllmrec.backbone.pretrained import Pretrained
from mllmrec.backbone.tiny import Tiny

CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A decoder of the Llama family: grouped-query attention and a gated feed-forward.

    ``qk_norm``: queries and keys have a norm each, as in Qwen3; ``qkv_bias`` as in Qwen2.
    """

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    tied: bool
    qk_norm: bool = False
    qkv_bias: bool = False

    @property
    def queries(self) -> int:
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of every linear module of a layer, by its name."""
        return {
            "q_proj": (self.hidden, self.queries),
            "k_proj": (self.hidden, self.keys),
            "v_proj": (self.hidden, self.keys),
            "o_proj": (self.queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def body(self) -> int:
        """Parameters of the layers' matrices: those that every token is multiplied with."""
        return self.layers * sum(into * out for into, out in self.linears.values())

    @property
    def parameters(self) -> int:
        """All of them."""
        norms = self.layers * (2 * self.hidden + 2 * self.head_dim * self.qk_norm) + self.hidden
        biases = self.layers * (self.queries + 2 * self.keys) * self.qkv_bias
        return self.body + norms + biases + self.vocab * self.hidden * (1 if self.tied else 2)

    def adapter(self, rank: int, targets: str | Sequence[str]) -> int:
        """Parameters of a low-rank adapter on these modules of every layer."""
        wanted = self.linears if targets == "all-linear" else set(targets)
        sides = sum(i + o for name, (i, o) in self.linears.items() if name in wanted)
        return self.layers * rank * sides


# Published models that may be planned for before they are downloaded, by their configs.
QWEN3: dict[str, Any] = {"head_dim": 128, "kv_heads": 8, "vocab": 151936, "qk_norm": True}
KNOWN = {
    "Qwen/Qwen3-0.6B": Shape(
        **QWEN3, hidden=1024, layers=28, heads=16, intermediate=3072, tied=True
    ),
    "Qwen/Qwen3-1.7B": Shape(
        **QWEN3, hidden=2048, layers=28, heads=16, intermediate=6144, tied=True
    ),
    "Qwen/Qwen3-4B": Shape(**QWEN3, hidden=2560, layers=36, heads=32, intermediate=9728, tied=True),
    "Qwen/Qwen3-8B": Shape(
        **QWEN3, hidden=4096, layers=36, heads=32, intermediate=12288, tied=False
    ),
}


def shape_of(backbone: Backbone, items: int = 0) -> Shape | None:
    """The shape of a backbone, without downloading it; None where nothing here tells it.

    ``items`` are the tokens of their own that items have in a model which is made here.
    """
    if isinstance(backbone, Tiny):
        return Shape(
            vocab=backbone.vocab_size + (items if backbone.item_tokens else 0),
            hidden=backbone.hidden_size,
            layers=backbone.layers,
            heads=backbone.heads,
            kv_heads=backbone.kv_heads,
            head_dim=backbone.head_dim,
            intermediate=backbone.intermediate_size,
            tied=True,
            qk_norm=True,
        )
    if not isinstance(backbone, Pretrained):
        return None
    if backbone.folder.is_dir():
        return of_folder(backbone.folder)
    return of_cache(backbone.path) or KNOWN.get(backbone.path)


def of_cache(name: str) -> Shape | None:
    """The shape of a model that the hub's client has downloaded before."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    found = sorted(folder.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    return of_folder(found[-1].parent) if found else None


def of_folder(folder: Path) -> Shape | None:
    """The shape that a folder's config.json tells; None where it tells none that we know."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return of_config(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def of_config(config: Mapping[str, Any]) -> Shape:
    """The shape by transformers' names; KeyError where one is missing."""
    heads, hidden, kind = config["num_attention_heads"], config["hidden_size"], config["model_type"]
    return Shape(
        vocab=config["vocab_size"],
        hidden=hidden,
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or hidden // heads,
        intermediate=config["intermediate_size"],
        tied=bool(config.get("tie_word_embeddings", False)),
        qk_norm=kind.startswith("qwen3"),
        qkv_bias=kind == "qwen2" or bool(config.get("attention_bias")),
    )
