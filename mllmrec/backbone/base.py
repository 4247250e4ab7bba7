"""What every backbone has: how it is held in memory, and what LoRA may move."""

from pathlib import Path
from typing import Literal

from mllmrec.schema import Model


class Backbone(Model):
    """A causal language model of transformers.

    ``dtype=auto`` is bfloat16 on a GPU and float32 on a CPU, in every stage alike.
    ``lora_targets`` are the names of the modules that an adapter may change, or "all-linear".
    """

    dtype: Literal["auto", "float32", "bfloat16"]
    lora_targets: Literal["all-linear"] | list[str]

    @property
    def is_built(self) -> bool:
        """Whether the stage ``pretrain`` builds this backbone from the dataset's own text."""
        return False

    def fetch(self) -> Path:
        """The folder that holds the model and its tokenizer, downloaded first if need be."""
        raise NotImplementedError
