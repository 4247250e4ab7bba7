"""The loss of SASRec-CQL on numbers that can be done by hand; what all share is in test_sasrec."""

import math

import numpy as np
import pytest
import torch

from mllmrec.recommender.networks import conservative
from tests.recommender.cycle import ITEMS, LENGTH, knobs

# One row, two places, three items: Q(s, ·), the slow copy's, and what was chosen.
VALUE = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]])
SLOW = torch.tensor([[[9.0, 9.0, 9.0], [5.0, 0.5, 7.0]]])
CHOSEN = torch.tensor([[0, 2]])
BOTH = torch.tensor([[True, True]])


def loss(told=BOTH, discount=0.5, alpha=0.0):
    return conservative(VALUE, SLOW, CHOSEN, told, discount=discount, alpha=alpha).item()


def test_td_by_hand():
    """Place 0: Q = 1; next, Q is largest at item 1, where the slow copy says 0.5.

    So the goal is 1 + 0.5 · 0.5 = 1.25 and the error 0.25; place 1 has no next state.
    """
    assert loss() == pytest.approx(0.25**2)
    assert loss(discount=0.0) == pytest.approx(0.0)


def test_the_penalty_by_hand():
    """logsumexp(1, 0, 0) − 1 and logsumexp(0, 2, 1) − 1, their mean."""
    first = math.log(math.e + 2) - 1
    second = math.log(1 + math.e**2 + math.e) - 1
    assert loss(alpha=2.0) == pytest.approx(0.25**2 + 2 * (first + second) / 2)


def test_only_what_is_told_counts():
    second = math.log(1 + math.e**2 + math.e) - 1
    assert loss(told=torch.tensor([[False, True]]), alpha=1.0) == pytest.approx(second)


def test_one_place_has_a_penalty_alone():
    found = conservative(
        VALUE[:, :1], SLOW[:, :1], CHOSEN[:, :1], BOTH[:, :1], discount=0.5, alpha=1.0
    )
    assert found.item() == pytest.approx(math.log(math.e + 2) - 1)


def test_the_goal_has_no_gradient():
    value = VALUE.clone().requires_grad_()
    conservative(value, SLOW, CHOSEN, BOTH, discount=0.5, alpha=0.0).backward()
    assert value.grad[0, 1].abs().sum() == 0  # nothing is learnt through the next state
    assert value.grad[0, 0].tolist() == pytest.approx([2 * (1 - 1.25), 0, 0])


def network(**more):
    torch.manual_seed(0)
    return knobs("sasrec_cql", **more).network(ITEMS, LENGTH).eval()


def test_the_loss_is_that_of_sasrec_and_the_heads():
    made = network(alpha=0.7, discount=0.4)
    rows = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    told = torch.tensor([[False, True, True, True]] * 2)
    rng = np.random.default_rng(0)
    states = made.states(rows[:, :-1])
    heads = conservative(
        made.value(states), made.slow(states), rows[:, 1:], told[:, 1:], discount=0.4, alpha=0.7
    )
    sasrec = super(type(made), made).loss(rows, told, rng)
    assert made.loss(rows, told, rng).item() == pytest.approx((sasrec + heads).item(), abs=1e-5)


def test_the_slow_copy_follows_by_its_share():
    made = network(follow=0.25)
    assert not any(weight.requires_grad for weight in made.slow.parameters())
    before = made.slow.weight.clone()
    with torch.no_grad():
        made.value.weight += 1.0
    made.follow()
    assert torch.allclose(made.slow.weight, before + 0.25, atol=1e-6)


def test_it_ranks_by_the_head_of_the_cross_entropy():
    made = network()
    rows = torch.tensor([[1, 2, 3]])
    before = made.scores(rows)
    with torch.no_grad():
        made.value.weight += 1.0
    assert torch.equal(made.scores(rows), before)
