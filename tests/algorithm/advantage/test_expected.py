from math import sqrt

import torch
from torch.testing import assert_close

from mllmrec.algorithm.advantage.expected import Expected
from tests.algorithm.batches import batch

GROUPS = {"a": ["a", "b", "c"], "b": ["a", "b"]}
CHANCE = [0.5, 0.25, 0.25, 0.75, 0.25]
REWARDS = [1.0, 0.0, 2.0, 0.0, 1.0]


def test_by_hand():
    """Σ q R = 1/2 + 2/4 = 1, and 1/4."""
    found = Expected(scale="none", epsilon=1e-4)(batch(GROUPS, rewards=REWARDS, chance=CHANCE))
    assert_close(found, torch.tensor([0.0, -1.0, 1.0, -0.25, 0.75]))


def test_over_the_standard_deviation_under_the_policy():
    """Variances: 1/4 + 1/4 = 1/2, and 3/4 · 1/16 + 1/4 · 9/16 = 3/16."""
    found = Expected(scale="group", epsilon=0.5)(batch(GROUPS, rewards=REWARDS, chance=CHANCE))
    wide, narrow = sqrt(1 / 2) + 0.5, sqrt(3) / 4 + 0.5
    hand = [0.0, -1 / wide, 1 / wide, -0.25 / narrow, 0.75 / narrow]
    assert_close(found, torch.tensor(hand))


def test_equal_rewards_tell_nothing():
    made = batch(GROUPS, rewards=[1.0] * 5, chance=CHANCE)
    assert Expected(scale="group", epsilon=1e-4)(made).eq(0).all()
