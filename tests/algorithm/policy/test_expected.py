from dataclasses import replace
from math import log

import torch
from torch.testing import assert_close

from mllmrec.algorithm.policy.expected import Expected
from tests.algorithm.batches import batch, terms


def test_by_hand():
    """q = (1/2, 1/4, 1/4) with A = (1, 0, −2), and (3/4, 1/4) with A = (1, −1); π_ref even."""
    groups = {"a": ["a", "b", "c"], "b": ["a", "b"]}
    made = batch(groups, advantages=[1.0, 0.0, -2.0, 1.0, -1.0])
    log_q = torch.tensor([0.5, 0.25, 0.25, 0.75, 0.25]).log().requires_grad_()
    log_ref = torch.tensor([1 / 3] * 3 + [1 / 2] * 2).log()
    some = replace(terms(made, torch.zeros(5, 3)), log_q=log_q, log_ref=log_ref)
    loss = Expected()(some)
    assert_close(loss, torch.tensor(-(0.0 + 0.5) / 2))  # 1/2 − 2/4 and 3/4 − 1/4
    slopes = -torch.tensor([0.5, 0.0, -0.5, 0.75, -0.25]) / 2  # −q A, over two prompts
    assert_close(torch.autograd.grad(loss, log_q)[0], slopes)
    # ln 3 − entropy: the entropies are 1.5 ln 2, and 2 ln 2 − 0.75 ln 3
    divergence = (log(3) - 1.5 * log(2)) + (log(2) - (2 * log(2) - 0.75 * log(3)))
    held = Expected()(replace(some, beta=0.1))
    assert_close(held, loss + 0.1 * divergence / 2)


def test_an_expectation_has_the_gradient_of_many_draws():
    """∇ Σ q A = E_q[A ∇ log q], by the softmax's own derivative."""
    scores = torch.tensor([0.3, -0.2, 1.0]).requires_grad_()
    log_q = scores.log_softmax(0)
    advantages = torch.tensor([1.0, -1.0, 0.5])
    made = batch({"a": ["a", "b", "c"]}, advantages=advantages.tolist())
    loss = Expected()(replace(terms(made, torch.zeros(3, 3)), log_q=log_q))
    q = log_q.exp().detach()
    expected = -q * (advantages - (q * advantages).sum())
    assert_close(torch.autograd.grad(loss, scores)[0], expected)
