"""The largest step first, and for show: a lack of memory is then seen before anything is learnt."""

import logging
from typing import Any

import torch
from transformers import TrainerCallback

from mllmrec import ranks

log = logging.getLogger(__name__)


class Rehearsal(TrainerCallback):
    """Once before the first step, ``trainer.rehearse()``: all of its gradients are thrown away.

    Random numbers that it takes are given back, so what is learnt is the same without it.
    """

    def __init__(self, trainer: Any, label: str) -> None:
        self.trainer, self.label = trainer, label

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        ranks.begin_alike(self.trainer.model.parameters())
        with torch.random.fork_rng():  # all that a model draws by
            self.trainer.rehearse()
        self.trainer.model.zero_grad()
        if torch.cuda.is_available():
            most = torch.cuda.max_memory_allocated() / 2**30
            log.info("%s: the longest batch fits, in %.1f GiB", self.label, most)
