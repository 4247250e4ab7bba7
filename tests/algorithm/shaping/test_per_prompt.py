import json
from dataclasses import replace
from math import exp

import pytest
import torch
from pydantic import ValidationError

from mllmrec.algorithm.shaping.per_prompt import PerPrompt
from tests.algorithm.batches import batch

KNOBS = {"tau": 1.0, "least": 0.01, "most": 100.0}


def sigmoid(x):
    return 1 / (1 + exp(-x))


def part(mode, **over):
    return PerPrompt(mode=mode, **{**KNOBS, **over})


def test_hardness_is_how_unlike_the_target_the_answers_are():
    # Towards a: a has cos 1, b 0, so δ = 1 − ½ = ½. Towards c: d has −0.6, c has 1, so δ = 0.8.
    # δ̄ = 0.65.
    made = batch({"a": ["a", "b"], "c": ["d", "c"]}, advantages=[1.0, -1.0, 2.0, -2.0])
    first, second = (sigmoid(x) / sigmoid(0.65) for x in (0.5, 0.8))
    found = part("hardness")(made, {})
    assert found.tolist() == pytest.approx([first, -first, 2 * second, -2 * second], abs=1e-6)
    assert made.charts == {
        "shaping/per_prompt/alpha": pytest.approx((first + second) / 2, abs=1e-6),
        "shaping/per_prompt/clipped": 0.0,
        "shaping/per_prompt/idle": 0.0,
    }


def test_a_row_that_names_no_item_is_like_nothing():
    # a: (1 + 0)/2, so δ = ½; b: nothing, so δ = 1; δ̄ = ¾.
    made = batch({"a": ["a", None], "b": [None, None]}, advantages=[1.0] * 4)
    found = part("hardness")(made, {})
    first, second = (sigmoid(x) / sigmoid(0.75) for x in (0.5, 1.0))
    assert found.tolist() == pytest.approx([first, first, second, second], abs=1e-6)


def test_responsiveness_is_the_running_gap_of_a_prompt_beside_that_of_all():
    state = {}
    # Gaps 1 − ½ = ½ and 0: their mean is ¼.
    first = batch({"a": ["a", "b"], "b": ["a", "c"]}, advantages=[1.0] * 4)
    found = part("responsiveness")(first, state)
    expected = [sigmoid(g) / sigmoid(0.25) for g in (0.5, 0.5, 0, 0)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    # Now gap 0 for a: over its two visits ¼; over all three (½ + 0 + 0)/3.
    second = batch({"a": ["a", "a"]}, advantages=[1.0, 1.0])
    found = part("responsiveness")(second, state)
    expected = sigmoid(0.25) / sigmoid(0.5 / 3)
    assert found.tolist() == pytest.approx([expected] * 2, abs=1e-6)
    assert state["prompts"] == {"x-a": [2, 0.25], "x-b": [1, 0.0]}
    assert state["all"] == [3, pytest.approx(0.5 / 3)]


def test_rewards_far_from_the_mean_are_left_out_of_the_gap():
    # Mean ¼; squared distances 9/16 for the hit, 1/16 for misses. With τ = 0.1 misses count: 1 − 0.
    state = {}
    part("responsiveness", tau=0.1)(batch({"a": ["a", "b", "c", "d"]}), state)
    assert state["prompts"] == {"x-a": [1, 1.0]}
    # Mean ½, both ¼ away: neither counts, nor does the visit; such a prompt keeps its advantages.
    made = batch({"b": ["b", "a"]}, advantages=[1.0, -1.0])
    assert part("responsiveness", tau=0.1)(made, state).tolist() == [1.0, -1.0]
    assert state["prompts"] == {"x-a": [1, 1.0]}


def test_a_product_is_one():
    made = batch({"a": ["a", "b"], "b": ["a", "c"]}, advantages=[1.0] * 4)
    both = part("hardness")(made, {}) * part("responsiveness")(made, {})
    assert torch.allclose(part("product")(made, {}), both)


def test_factors_are_clipped_and_groups_without_a_signal_are_charted():
    made = batch({"a": ["a", "b"], "c": ["d", "c"]}, advantages=[1.0, -1.0, 0.0, 0.0])
    # σ(½)/σ(0.65) = 0.946, σ(0.8)/σ(0.65) = 1.048
    found = part("hardness", least=0.99, most=2.0)(made, {})
    assert found.tolist() == pytest.approx([0.99, -0.99, 0.0, 0.0], abs=1e-6)
    assert made.charts["shaping/per_prompt/clipped"] == 0.5
    assert made.charts["shaping/per_prompt/idle"] == 0.5


def test_advantages_by_token_are_scaled_by_row():
    made = batch({"a": ["a", "b"], "c": ["d", "c"]})
    table = torch.arange(16.0).view(4, 4)
    alpha = part("product")(batch({"a": ["a", "b"], "c": ["d", "c"]}, advantages=[1.0] * 4), {})
    made = replace(batch({"a": ["a", "b"], "c": ["d", "c"]}), advantages=table)
    assert torch.allclose(part("product")(made, {}), table * alpha[:, None])


def test_what_it_remembers_survives_a_checkpoint():
    steps = [
        batch({"a": ["a", "b", "c"], "b": ["a", "c", "d"]}, advantages=[0.3] * 6),
        batch({"a": ["a", "a", "c"], "c": ["c", "c", "d"]}, advantages=[0.3] * 6),
        batch({"b": ["b", "a", "c"], "a": ["c", "c", "d"]}, advantages=[0.3] * 6),
    ]
    plain, kept = {}, {}
    for made in steps:
        through = part("product")(made, plain)
        kept = json.loads(json.dumps(kept))
        assert torch.equal(part("product")(made, kept), through)
    assert json.loads(json.dumps(kept)) == plain


@pytest.mark.parametrize("over", [{"least": 1.5}, {"most": 0.9}, {"tau": 0.0}, {"least": 0.0}])
def test_ranges(over):
    with pytest.raises(ValidationError):
        part("product", **over)
