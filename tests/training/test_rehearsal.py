"""The largest batch goes forward and back once before step one, and changes nothing."""

import copy
import random

import numpy as np
import pytest
import torch
from datasets import Dataset as Rows
from trl import SFTConfig

from mllmrec.stage.base import Job
from mllmrec.training.rehearsal import Rehearsal
from mllmrec.training.session import arguments, train
from mllmrec.training.sft import RowTrainer


@pytest.fixture
def trainer(config, tokenizer, model, tmp_path):
    """Rows of 3 to 30 tokens in batches of two, with dropout; the longest comes somewhere."""
    draw = torch.Generator().manual_seed(0)
    sizes = (7, 3, 30, 9, 9, 5, 28, 4)
    texts = [torch.randint(3, 200, (size,), generator=draw).tolist() for size in sizes]
    update = {"batch_size": 2, "max_steps": 3, "logging_steps": 1, "save_steps": 10}
    options = config.stages["sft"].model_copy(update=update)
    asked = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}

    def make(kind=RowTrainer):
        torch.manual_seed(0)
        job = Job(out=tmp_path, inputs={}, groups={}, seed=1)
        made = kind(
            model=copy.deepcopy(model),
            args=arguments(SFTConfig, options, job, "sft", remove_unused_columns=False, **asked),
            train_dataset=Rows.from_list([{"input_ids": t, "labels": t} for t in texts]),
            processing_class=tokenizer,
            tokens_per_batch=64,
        )
        for part in made.model.modules():
            if hasattr(part, "attention_dropout"):
                part.attention_dropout = 0.5
        return made, job

    return make


class Watched(RowTrainer):
    """Keeps what every forward was given, and the weights and gradients before step one."""

    def compute_loss(self, model, inputs, *args, **kwargs):
        shapes = self.__dict__.setdefault("shapes", [])
        if len(shapes) == 1:
            self.before = [p.detach().clone() for p in model.parameters()]
            self.gradients = [p.grad for p in model.parameters()]
        shapes.append(tuple(inputs["input_ids"].shape))
        return super().compute_loss(model, inputs, *args, **kwargs)


def test_the_longest_rows_come_first_and_leave_no_trace(trainer, model):
    made, job = trainer(Watched)
    train(made, job, "sft")
    assert made.shapes[0] == (2, 30)  # the rows of 30 and 28 tokens, together
    assert all(torch.equal(a, b) for a, b in zip(made.before, model.parameters(), strict=True))
    assert all(gradient is None for gradient in made.gradients)


def test_every_generator_is_left_as_it_was(trainer):
    """With dropout; of Python's and NumPy's own the rehearsal takes nothing to begin with."""
    made, _ = trainer()
    made.model.train()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    Rehearsal(made, "sft").on_train_begin(None, None, None)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert after == before


def test_what_is_learnt_is_the_same_without_it(trainer, monkeypatch):
    made, job = trainer()
    train(made, job, "sft")
    plain, other = trainer()
    monkeypatch.setattr(plain, "rehearse", lambda: None)
    train(plain, other, "sft")
    assert made.state.log_history[0]["loss"] == plain.state.log_history[0]["loss"]
    for a, b in zip(made.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_lack_of_memory_shows_before_anything_is_learnt(trainer):
    class Short(RowTrainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            if inputs["input_ids"].shape[1] > 25:
                raise RuntimeError("CUDA out of memory")
            return super().compute_loss(model, inputs, *args, **kwargs)

    made, job = trainer(Short)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(made, job, "sft")
    assert made.state.global_step == 0
