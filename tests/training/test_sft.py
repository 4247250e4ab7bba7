import copy

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset as Rows
from transformers import TrainerCallback
from trl import SFTConfig

from mllmrec.stage.base import Job
from mllmrec.training.session import arguments
from mllmrec.training.sft import RowTrainer


def test_the_loss_is_the_plain_one_of_the_labels(model):
    torch.manual_seed(0)
    ids = torch.randint(3, 200, (3, 10))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0  # right padding
    labels = ids.clone()
    labels[0, :8] = labels[1, :5] = labels[1, 7:] = labels[2, :9] = -100
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    loss = RowTrainer.compute_loss(None, model, inputs, num_items_in_batch=7)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    plain = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum") / 7
    assert torch.allclose(loss, plain, atol=1e-6)
    loss.backward()
    assert model.lm_head.weight.grad is not None


class Watch(TrainerCallback):
    """The gradients that the optimiser is about to use."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        named = model.named_parameters()
        self.gradients = {name: p.grad.clone() for name, p in named if p.grad is not None}


@pytest.fixture
def ragged():
    """Rows of 3 to 21 tokens with labels in the middle of some, at the end of all."""
    draw = torch.Generator().manual_seed(0)
    rows = []
    for length in (17, 3, 21, 9, 9, 5, 14, 4):
        ids = torch.randint(3, 200, (length,), generator=draw).tolist()
        labels = [-100] * (length - 2) + ids[-2:]
        if length > 8:
            labels[2:6] = ids[2:6]  # in the prompt
        rows.append({"input_ids": ids, "labels": labels})
    return rows


@pytest.fixture
def step(config, tokenizer, model, ragged, tmp_path):
    """One optimiser step over all rows: its gradients, its loss, and the parts it was taken in."""

    def run(budget):
        options = config.stages["sft"].model_copy(
            update={
                "batch_size": len(ragged),
                "max_steps": 1,
                "max_grad_norm": 1e9,
                "logging_steps": 1,
                "save_steps": 10,
            }
        )
        asked = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}
        job = Job(out=tmp_path, inputs={}, groups={}, seed=1)
        trainer = RowTrainer(
            model=copy.deepcopy(model),
            args=arguments(SFTConfig, options, job, "sft", remove_unused_columns=False, **asked),
            train_dataset=Rows.from_list(ragged),
            processing_class=tokenizer,
            tokens_per_batch=budget,
        )
        watch, seen, plain = Watch(), [], trainer.compute_loss
        trainer.add_callback(watch)

        def compute_loss(model, inputs, *args, **kwargs):
            assert model.training
            seen.append({name: column.clone() for name, column in inputs.items()})
            return plain(model, inputs, *args, **kwargs)

        trainer.compute_loss = compute_loss
        trainer.train()
        return watch.gradients, trainer.state.log_history[0]["loss"], seen

    return run


def flat(gradients):
    return torch.cat([gradients[name].flatten() for name in sorted(gradients)])


@pytest.mark.parametrize(("budget", "parts"), [(1, 8), (21, 5), (40, 4), (100, 2), (168, 1)])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(step, model, ragged, budget, parts):
    found, loss, seen = step(budget)
    assert len(seen) == parts
    total, labels = 0, 0
    for row in ragged:  # each row by itself, by the plain loss
        ids, wanted = (torch.tensor([row[name]]) for name in ("input_ids", "labels"))
        logits = model(input_ids=ids).logits[0, :-1]
        total = total + F.cross_entropy(logits, wanted[0, 1:], reduction="sum")
        labels += int((wanted[:, 1:] != -100).sum())
    (total / labels).backward()
    expected = flat({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert (flat(found) - expected).norm() < 1e-5 * expected.norm()
    assert loss == pytest.approx((total / labels).item(), rel=1e-4)  # logged rounded


@pytest.mark.parametrize("budget", [1, 21, 40, 100, 168])
def test_no_part_is_above_the_budget_and_no_row_leaks_into_another(step, ragged, budget):
    rows = []
    for part in step(budget)[2]:
        mask = part["attention_mask"].bool()
        assert len(mask) == 1 or mask.numel() <= budget
        assert mask[:, -1].any()  # cropped to its longest row
        assert (part["labels"][~mask] == -100).all()
        for row, kept in enumerate(mask):
            names = ("input_ids", "labels")
            rows.append({name: part[name][row][kept].tolist() for name in names})

    def order(row):
        return row["input_ids"]

    assert sorted(rows, key=order) == sorted(ragged, key=order)
