"""The largest step first, and for show: a lack of memory is then seen before anything is learnt."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
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
        with same_draws():
            self.trainer.rehearse()
        self.trainer.model.zero_grad()
        if torch.cuda.is_available():
            most = torch.cuda.max_memory_allocated() / 2**30
            log.info("%s: the longest batch fits, in %.1f GiB", self.label, most)


@contextmanager
def same_draws() -> Iterator[None]:
    """Leave every generator of random numbers as it was."""
    ours, numpys, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)
        torch.set_rng_state(torchs)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
