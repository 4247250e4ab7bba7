import json
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from mllmrec.algorithm.batch import Sample
from mllmrec.algorithm.shaping.memory import Memory
from tests.algorithm.batches import batch

KNOBS = {"size": 10, "k": 2, "xi": 0.5, "decay": "none", "center": False}


def part(**over):
    return Memory(**{**KNOBS, **over})


def step(id, history, target, items, *, advantages=None, at=0):
    """The rollouts of one prompt."""
    made = batch({target: items}, advantages=advantages, step=at)
    sample = Sample(
        id=id, prompt=(8,), history=history, target=target, candidates=made.samples[0].candidates
    )
    return replace(made, samples=[sample])


def remembering(*entries):
    return {"hits": [list(entry) for entry in entries]}


# e(a) = (1, 0), e(b) = (0, 1), e(c) = (0.6, 0.8), e(d) = (−1, 0)


def test_what_was_right_for_a_like_history_counts_more():
    state = remembering(["1", ["a"], "b"])
    made = step("2", ["c"], "d", ["b", "c", "a", None], advantages=[1.0, 1.0, 1.0, 1.0])
    # sim(c, a) = 0.6; cos to b: 1, 0.8, 0 and 0; ξ = ½
    assert part()(made, state).tolist() == pytest.approx([1.3, 1.24, 1.0, 1.0])
    # centred: U = 0.6, 0.48, 0, 0 with mean 0.27
    found = part(center=True)(made, remembering(["1", ["a"], "b"]))
    assert found.tolist() == pytest.approx([1.165, 1.105, 0.865, 0.865])


def test_only_the_nearest_memories_are_asked():
    # of the history a: sim 1 to the second, 0.6 to the third, 0 to the first
    state = remembering(["1", ["b"], "a"], ["2", ["a"], "b"], ["3", ["c"], "c"])
    made = step("9", ["a"], "d", ["a", "b", "c"])
    # k = 1: cos to b; k = 2: or 0.6·cos to c, that is 0.6·(0.6, 0.8, 1)
    assert part(xi=1.0, k=1)(made, state).tolist() == pytest.approx([0, 1, 0.8])
    assert part(xi=1.0, k=2)(made, state).tolist() == pytest.approx([0.36, 1, 0.8])


def test_a_history_is_the_mean_of_its_items():
    # (a + b)/2 is (½, ½), to c: (0.3 + 0.4)/√½ = 0.98995
    state = remembering(["1", ["a", "b"], "b"])
    found = part(xi=1.0)(step("2", ["c"], "d", ["b"]), state)
    assert found.tolist() == pytest.approx([0.9899495])


def test_what_is_unlike_says_nothing():
    state = remembering(["1", ["d"], "b"])  # sim(a, d) = −1
    assert part()(step("2", ["a"], "c", ["b", "a"]), state).tolist() == [0.0, 0.0]
    state = remembering(["1", ["a"], "d"])  # cos(a, d) = −1: no worse than no item at all
    assert part()(step("2", ["a"], "c", ["a", None]), state).tolist() == [0.0, 0.0]
    assert part()(step("2", [], "c", ["d"]), state).tolist() == [0.0]  # a user without a history


def test_the_hits_of_a_step_are_remembered_behind_it():
    state = {}
    made = step("1", ["a"], "b", ["b", "b", "c"], advantages=[1.0, 2.0, 3.0])
    assert part()(made, state).tolist() == [1.0, 2.0, 3.0]
    assert made.charts["shaping/memory/asked"] == 0.0
    assert state == {"hits": [["1", ["a"], "b"]]}
    part()(step("2", ["a"], "c", ["b", "a"]), state)  # no hit
    assert state == {"hits": [["1", ["a"], "b"]]}


def test_a_samples_own_hit_is_never_its_memory():
    state = remembering(["1", ["a"], "b"])
    made = step("1", ["a"], "b", ["b", "c"], advantages=[0.25, 0.5])
    assert part()(made, state).tolist() == [0.25, 0.5]
    assert made.charts["shaping/memory/asked"] == 0.0
    # another's is, and with k = 1 its own, nearer one takes no place from it
    state = remembering(["2", ["c"], "c"], ["1", ["a"], "b"])
    found = part(xi=1.0, k=1)(step("1", ["a"], "b", ["b", "c"]), state)
    assert found.tolist() == pytest.approx([0.6 * 0.8, 0.6])


def test_the_oldest_are_forgotten_and_a_sample_is_there_once():
    state = {}
    for id, target in (("1", "a"), ("2", "b"), ("1", "a"), ("3", "c")):
        part(size=2)(step(id, ["a"], target, [target]), state)
    assert [entry[0] for entry in state["hits"]] == ["1", "3"]


def test_the_weight_falls_to_nothing():
    state = remembering(["1", ["a"], "b"])
    shifts = []
    for at in (0, 4, 10):  # of 10 steps
        made = step("2", ["a"], "c", ["b", "a"], at=at)
        shifts.append(part(decay="linear")(made, state)[0].item())
    assert shifts == pytest.approx([0.5, 0.3, 0.0])
    assert made.charts["shaping/memory/xi"] == 0.0


def test_advantages_by_token_are_shifted_by_row():
    made = step("2", ["c"], "d", ["b", "a"])
    made = replace(made, advantages=torch.zeros(2, 3))
    found = part()(made, remembering(["1", ["a"], "b"]))
    assert found.tolist() == [pytest.approx([0.3] * 3), [0.0] * 3]


def test_what_it_remembers_survives_a_checkpoint():
    plain, kept = {}, {}
    for at, (id, target) in enumerate((("1", "a"), ("2", "b"), ("3", "c"), ("1", "a"))):
        made = step(id, ["a", "c"][: at + 1], target, ["a", "b", "c", None], at=at)
        through = part(center=True, decay="linear")(made, plain)
        kept = json.loads(json.dumps(kept))
        assert torch.equal(part(center=True, decay="linear")(made, kept), through)
    assert json.loads(json.dumps(kept)) == plain


@pytest.mark.parametrize("over", [{"size": 0}, {"k": 0}, {"xi": 0.0}, {"decay": "cosine"}])
def test_ranges(over):
    with pytest.raises(ValidationError):
        part(**over)
