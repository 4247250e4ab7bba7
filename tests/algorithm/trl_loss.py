"""TRL's own loss of rows that we make up, without a model: what losses here must be equal to."""

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer

from mllmrec.algorithm.base import Kl
from mllmrec.algorithm.batch import Terms
from tests.algorithm.batches import batch, terms

LENGTHS = (5, 3, 1, 4, 2, 0)  # one row has no token at all
LONGEST = 7


def drawn(seed: int, *, by_token: bool = False, beta: float = 0.0, far: float = 0.5) -> Terms:
    """Six rows of up to five tokens; π, π_old and π_ref are ``far`` apart (std of log r)."""
    draws = torch.Generator().manual_seed(seed)
    shape = (len(LENGTHS), max(LENGTHS))

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=draws)

    mask = (torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]).float()
    logps = -normal(*shape).abs()
    old, ref = logps + far * normal(*shape), logps + far * normal(*shape)
    advantages = normal(*shape) if by_token else normal(shape[0])
    made = batch({"a": ["a"] * 3, "b": ["b"] * 3})
    made = replace(made, mask=mask, old=old * mask, advantages=advantages)
    return terms(made, logps.requires_grad_(), beta=beta, ref=ref, longest=LONGEST)


def with_kl(some: Terms, kl: Kl) -> Terms:
    return replace(some, kl=kl(some.rows))


def gradient(loss: Tensor, some: Terms) -> Tensor:
    (found,) = torch.autograd.grad(loss, some.rows.logps)
    return found


def loss_of_trl(some: Terms, fields: dict[str, Any]) -> Tensor:
    """``GRPOTrainer._compute_loss`` with these fields of its config, one process, one batch."""
    known = {"epsilon": 0.2, "delta": None, "use_bias_correction_kl": False, **fields}
    rows = some.rows
    one = torch.zeros(len(rows.mask), 1, dtype=torch.long)
    own = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (rows.logps, rows.mask, None),
        loss_type=known["loss_type"],
        importance_sampling_level=known["importance_sampling_level"],
        epsilon_low=known["epsilon"],
        epsilon_high=known["epsilon_high"],
        beta=some.beta,
        max_completion_length=some.longest,
        args=SimpleNamespace(
            delta=known["delta"],
            use_bias_correction_kl=known["use_bias_correction_kl"],
            steps_per_generation=1,
        ),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1,
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x
        ),
        _metrics={"train": defaultdict(list)},
    )
    inputs = {
        "prompt_ids": one,
        "prompt_mask": one,
        "completion_ids": rows.mask.long(),
        "completion_mask": rows.mask,
        "advantages": some.batch.advantages,
        "old_per_token_logps": rows.old,
        "ref_per_token_logps": rows.ref,
        "num_items_in_batch": rows.mask.sum(),
    }
    trainer: Any = GRPOTrainer
    loss: Tensor = trainer._compute_loss(own, None, inputs)
    return loss
