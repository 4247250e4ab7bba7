from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from mllmrec.algorithm.kl.frozen import Frozen
from mllmrec.algorithm.policy.cispo import Cispo
from mllmrec.errors import Refusal
from tests.algorithm.batches import batch, terms
from tests.algorithm.trl_loss import drawn, gradient, loss_of_trl, with_kl
from tests.launching import config


def test_by_hand():
    """log π = −1 and −2, log π_old = −1 − ln 2 and −2: r = 2 (cut to 1.5) and 1."""
    made = replace(
        batch({"c": ["c"]}, advantages=[3.0]),
        old=torch.tensor([[-1 - torch.tensor(2.0).log(), -2.0]]),
    )
    some = terms(made, torch.tensor([[-1.0, -2.0]]).requires_grad_())
    loss = Cispo(epsilon_high=1.5)(some)
    assert_close(loss, torch.tensor(5.25))  # 3 (1.5 · 1 + 1 · 2) / 2
    assert_close(gradient(loss, some), torch.tensor([[-2.25, -1.5]]))  # both tokens have one
    assert made.charts == {"clip/high": 0.5}


def test_weights_count():
    made = batch({"c": ["c"]}, advantages=[1.0], sums=[0.0])
    some = terms(made, torch.zeros(1, 2).requires_grad_(), weights=torch.tensor([[0.5, 1.0]]))
    loss = Cispo(epsilon_high=5.0)(some)
    assert_close(gradient(loss, some), torch.tensor([[-0.25, -0.5]]))


@pytest.mark.parametrize("by_token", [False, True], ids=["by row", "by token"])
@pytest.mark.parametrize(("beta", "correction"), [(0.0, False), (0.1, False), (0.1, True)])
def test_it_is_what_trl_computes(by_token, beta, correction):
    part, kl = Cispo(epsilon_high=1.2), Frozen(estimator="k3", bias_correction=correction)
    for seed in range(3):
        some = drawn(seed, by_token=by_token, beta=beta)
        theirs = loss_of_trl(some, {**part.trl(), **kl.trl()})
        ours = part(with_kl(some, kl) if beta else some)
        assert_close(ours, theirs, rtol=0, atol=1e-6)
        assert_close(gradient(ours, some), gradient(theirs, some), rtol=0, atol=1e-6)


def test_a_bound_below_one_is_refused():
    """0.2, a distance from 1 elsewhere, would cut every weight to a fifth."""
    with pytest.raises(Refusal, match=r"policy.epsilon_high=0.2"):
        config("algorithm=cispo", "algorithm.policy.epsilon_high=0.2")
