from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mllmrec.algorithm.advantage.standardised import Standardised
from mllmrec.errors import Refusal
from tests.algorithm.batches import batch
from tests.launching import config

GROUPS = {"a": ["a", "b", "c", "d"], "b": ["a", "b"], "c": ["c"]}
REWARDS = [0.0, 0.0, 0.0, 4.0, 1.0, 3.0, 5.0]


def standardised(center: str, scale: str, epsilon: float = 1e-4) -> Standardised:
    return Standardised(center=center, scale=scale, epsilon=epsilon)


CENTRED = {
    "group": [-1.0, -1.0, -1.0, 3.0, -1.0, 1.0, 0.0],  # means 1, 2, 5
    # others' means: 4/3 three times, 0; 3, 1; a row alone has none
    "leave_one_out": [-4 / 3, -4 / 3, -4 / 3, 4.0, -2.0, 2.0, 0.0],
    "batch": [r - 13 / 7 for r in REWARDS],
    "none": REWARDS,
}


@pytest.mark.parametrize("center", CENTRED)
def test_centres_by_hand(center):
    found = standardised(center, "none")(batch(GROUPS, rewards=REWARDS))
    assert_close(found, torch.tensor(CENTRED[center]))


def test_scales_by_hand():
    """The variances are (3 · 1 + 9) / 3 = 4 and (1 + 1) / 1 = 2; a group of one has none."""
    made = batch(GROUPS, rewards=REWARDS)
    found = standardised("group", "group", epsilon=1.0)(made)
    wide, narrow = 2 + 1.0, sqrt(2) + 1.0
    hand = [-1 / wide, -1 / wide, -1 / wide, 3 / wide, -1 / narrow, 1 / narrow, 0.0]
    assert_close(found, torch.tensor(hand))


@settings(max_examples=40)
@given(
    rewards=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=8, max_size=8),
    scale=st.sampled_from(["group", "batch", "none"]),
)
def test_it_is_the_arithmetic_of_trl(rewards, scale):
    """Groups of four of one size: the lines of GRPOTrainer, in torch as there."""
    paid = torch.tensor(rewards)
    mean = paid.view(-1, 4).mean(1).repeat_interleave(4)
    stds = paid.view(-1, 4).std(1).repeat_interleave(4) if scale != "batch" else paid.std()
    theirs = paid - mean
    if scale != "none":
        theirs = theirs / (stds + 1e-4)
    items = ["a", "b", "c", "d"]
    made = batch({"a": items, "b": items}, rewards=rewards)
    part = standardised("group", scale)
    assert part.trl() == {"scale_rewards": scale}
    assert_close(part(made), theirs, rtol=0, atol=1e-6)


def test_it_is_the_arithmetic_of_numpy_where_sizes_differ():
    draws = np.random.default_rng(3).normal(size=7)
    made = batch(GROUPS, rewards=draws.tolist())
    parts = np.split(draws, [4, 6])
    group = [(p - p.mean()) / ((p.std(ddof=1) if len(p) > 1 else 0) + 1e-4) for p in parts]
    others = [
        np.array([p[i] - np.delete(p, i).mean() if len(p) > 1 else 0 for i in range(len(p))])
        for p in parts
    ]
    expected = {
        ("group", "group"): np.concatenate(group),
        ("leave_one_out", "none"): np.concatenate(others),
        ("leave_one_out", "batch"): np.concatenate(others) / (draws.std(ddof=1) + 1e-4),
        ("batch", "batch"): (draws - draws.mean()) / (draws.std(ddof=1) + 1e-4),
    }
    for (center, scale), hand in expected.items():
        found = standardised(center, scale)(made)
        assert_close(found, torch.tensor(hand, dtype=torch.float32), rtol=1e-5, atol=1e-6)


def test_rows_in_another_order_are_the_same_rows():
    made = batch(GROUPS, rewards=REWARDS)
    order = [6, 2, 5, 0, 3, 1, 4]
    for center in ("group", "leave_one_out"):
        part = standardised(center, "group")
        assert_close(part(made.take(order)), part(made)[order])


@pytest.mark.parametrize("center", CENTRED)
@pytest.mark.parametrize("rows", [[], [0]], ids=["no row", "one row"])
def test_few_rows_are_numbers(center, rows):
    made = batch(GROUPS, rewards=REWARDS).take(rows)
    found = standardised(center, "batch")(made)
    assert found.shape == (len(rows),) and found.isfinite().all()


def test_rewards_stay_as_they_are():
    made = batch(GROUPS, rewards=REWARDS)
    standardised("none", "none")(made).mul_(2)
    assert made.rewards.tolist() == REWARDS


@pytest.mark.parametrize(
    ("center", "scale"), [("batch", "group"), ("none", "group"), ("none", "batch")]
)
def test_what_divides_by_nothing_is_refused(center, scale):
    """A group whose rewards are all 1 has σ = 0: beside 0 its advantages would be 1 / ε."""
    words = (f"algorithm.advantage.center={center}", f"algorithm.advantage.scale={scale}")
    with pytest.raises(Refusal, match=rf"center={center}: with scale={scale}.*scale=none"):
        config(*words)


def test_what_trl_has_not():
    assert standardised("leave_one_out", "none").trl() == {}
    assert standardised("group", "group", epsilon=1e-6).trl() == {}
    assert standardised("group", "none", epsilon=1e-6).trl() == {"scale_rewards": "none"}
