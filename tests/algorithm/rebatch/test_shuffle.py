"""Pairs drawn by their weights: sizes, chances, and the same bytes every time."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmrec.algorithm.rebatch.pairs import paired
from mllmrec.algorithm.rebatch.shuffle import Shuffle, draw
from tests.algorithm.batches import ANSWERS, batch

KNOBS = {"weight": "sum", "power": 1.0, "rounds": 4, "subset": None}
SHUFFLE = Shuffle(**KNOBS)
GROUPS = ([3.0, -3.0, 0.5, -0.5], [1.0, -1.0, 0.0, 0.0], [2.0, 1.0, -1.5, -1.5])


def made_of(*groups, **over):
    targets = dict(zip(ANSWERS, groups, strict=False))
    items = {target: ["a"] * len(group) for target, group in targets.items()}
    return batch(items, advantages=[x for group in groups for x in group], **over)


def drawn(found):
    """How often each pair came, by its prompt and advantages."""
    rows = [*zip(found.owner.tolist(), found.advantages.tolist(), strict=True)]
    pairs = [*zip(rows[::2], rows[1::2], strict=True)]
    assert all(better[0] == worse[0] for better, worse in pairs)
    return Counter((better[0], better[1], worse[1]) for better, worse in pairs)


def test_a_step_is_as_large_as_it_was_and_of_its_own_pairs():
    made = made_of(*GROUPS)
    found = SHUFFLE(made)
    assert len(found) == len(made) == 12
    values = paired(made)
    known = {
        (owner, values.values[better], values.values[worse])
        for owner, pairs in enumerate(values.groups)
        for better, worse in pairs
    }
    assert set(drawn(found)) <= known
    assert found.charts == {
        "rebatch/shuffle/size": 1,
        "rebatch/shuffle/distinct": len(drawn(found)) / 6,
        "rebatch/shuffle/without_partner": 0,
        "rebatch/shuffle/no_weight_at_all": 0,
    }


@pytest.mark.parametrize(
    ("pairs", "rounds", "sizes"), [(6, 4, [1, 2, 1, 2]), (8, 8, [1] * 8), (2, 3, [0, 1, 1])]
)
def test_rounds_share_the_pairs(pairs, rounds, sizes):
    assert SHUFFLE.model_copy(update={"rounds": rounds}).sizes(pairs) == sizes


def test_subsets_of_a_given_size():
    made = made_of(*GROUPS)
    found = Shuffle(**{**KNOBS, "rounds": 3, "subset": 4})(made)
    assert len(found) == 2 * 3 * 4 and found.charts["rebatch/shuffle/size"] == 2
    assert max(drawn(found).values()) <= 3  # once at most in each round
    found = Shuffle(**{**KNOBS, "rounds": 2, "subset": 99})(made)
    assert set(drawn(found).values()) == {2} and len(drawn(found)) == 6


def test_the_same_inputs_give_the_same_rows_and_other_steps_and_seeds_give_others():
    made = made_of(*GROUPS)
    first = SHUFFLE(made).advantages.tolist()
    assert SHUFFLE(made_of(*GROUPS)).advantages.tolist() == first
    steps = [SHUFFLE(replace(made, step=step)) for step in range(1, 9)]
    seeds = [SHUFFLE(made_of(*GROUPS, seed=seed)) for seed in range(8, 16)]
    for others in (steps, seeds):
        assert len({tuple(found.advantages.tolist()) for found in others}) > 4


def test_rounds_are_draws_of_their_own():
    made = made_of(*GROUPS)
    found = Shuffle(**{**KNOBS, "rounds": 8, "subset": 1})(made)
    assert len(drawn(found)) > 1


@pytest.mark.parametrize(("weight", "weighs"), [("sum", 4), ("max", 3)])
def test_what_a_pair_weighs(weight, weighs):
    assert SHUFFLE.model_copy(update={"weight": weight}).weigh(3, 1) == weighs


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_chances_are_those_of_the_weights(power):
    """4 : 2 : 1 : 0, and squared 16 : 4 : 1 : 0; of 4000 draws the share is within 4 %."""
    weights = np.array([4.0, 2.0, 1.0, 0.0])
    firsts = Counter(draw(weights, power, 1, seed)[0] for seed in range(2000))
    chances = weights**power / (weights**power).sum()
    assert [firsts[j] / 2000 for j in range(4)] == pytest.approx(chances, abs=0.04)


def test_the_next_is_drawn_among_the_rest():
    """After the first of 4 : 2 : 1 the others have 2 : 1."""
    weights = np.array([4.0, 2.0, 1.0])
    both = [draw(weights, 1.0, 2, seed) for seed in range(2000)]
    seconds = Counter(second for first, second in both if first == 0)
    assert seconds[1] / seconds.total() == pytest.approx(2 / 3, abs=0.04)


def test_pairs_without_weight_come_last_in_random_order():
    weights = np.array([0.0, 1.0, 0.0, 2.0])
    orders = {tuple(draw(weights, 1.0, 4, seed)) for seed in range(200)}
    assert {set(order[:2]) == {1, 3} for order in orders} == {True}
    assert {order[2:] for order in orders} == {(0, 2), (2, 0)}


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.floats(0, 1e3), min_size=1, max_size=12).filter(any),
    size=st.integers(0, 15),
    seed=st.integers(0, 2**31 - 1),
)
def test_nothing_is_drawn_twice_in_a_round(weights, size, seed):
    found = draw(np.array(weights), 1.0, size, seed)
    assert len(found) == len(set(found)) == min(size, len(weights))


def test_where_nothing_weighs_anything_the_step_stays():
    made = made_of([0.0, 0.0], [0.0])
    found = SHUFFLE(made)
    assert found is made
    assert found.charts == {
        "rebatch/shuffle/size": 1,
        "rebatch/shuffle/distinct": 1,
        "rebatch/shuffle/without_partner": 0,
        "rebatch/shuffle/no_weight_at_all": 1,
    }


def test_a_row_without_partner_goes_and_is_counted():
    found = SHUFFLE(made_of([1.0, 0.0, -1.0]))
    assert found.charts["rebatch/shuffle/without_partner"] == 1
    assert sorted(found.advantages.tolist()) == [-1, 1]


@pytest.mark.parametrize("knob", [{"power": 0.0}, {"rounds": 0}, {"subset": 0}, {"weight": "pos"}])
def test_knobs_out_of_range_are_refused(knob):
    with pytest.raises(ValidationError):
        Shuffle.model_validate({**KNOBS, **knob})
