"""What is said of trained policies that counting beats, and of what flatters counting."""

import numpy as np
import polars as pl

from mllmrec.policy.bars import flattery, held_to_the_bar, too_few, without_a_list
from mllmrec.policy.ranked import Ranked


def ranked(ranks):
    asked = pl.DataFrame({"sample_id": [str(n) for n in range(len(ranks))]})
    return Ranked(asked=asked, ranks=np.array(ranks), candidates=10, firsts=pl.Series([""]))


BY = {
    "random": ranked([10] * 40),
    "popularity": ranked([2] * 40),
    "backbone": ranked([10] * 40),
    "good": ranked([1] * 40),
    "sft": ranked([1, 9] * 20),
    "grpo": ranked([3] * 40),
    "bad": ranked([9] * 40),
}


def test_a_trained_policy_below_popularity_is_warned_of():
    warnings, notes = held_to_the_bar(BY, "uni9", 5, seed=0)
    assert [line.split(":")[1].split()[0] for line in warnings] == ["grpo", "bad"]
    assert warnings[0].startswith("uni9: grpo is BELOW popularity in NDCG@5: -0.1309 [-0.1309")
    (note,) = notes
    assert "uni9: sft not distinguishable from popularity" in note and "good" not in note


def test_without_popularity_nothing_is_said():
    others = {name: one for name, one in BY.items() if name != "popularity"}
    assert held_to_the_bar(others, "uni9", 5, seed=0) == ([], [])
    assert held_to_the_bar({n: BY[n] for n in ("popularity", "good")}, "uni9", 5, 0) == ([], [])


def test_uniform_negatives_alone_flatter_popularity():
    (note,) = flattery(["uni9", "uni99", "full"], ["popularity", "sft"])
    assert note.startswith("uni9, uni99: uniform negatives")
    assert "prepare.protocols=[uni9,uni99,pop9,pop99] " in note
    assert "evaluate.protocols=[uni9,uni99,full,pop9,pop99] (prepared" in note
    assert flattery(["uni9", "pop9"], ["popularity"]) == []
    assert flattery(["full"], ["popularity"]) == []
    assert flattery(["uni9"], ["sft"]) == []


def test_models_that_learnt_from_lists_have_none_in_the_catalogue():
    policies = ["popularity", "sft", "backbone_text", "grpo"]
    (note,) = without_a_list(["uni9", "full"], policies, "uni9")
    assert note.startswith("full: sft, grpo learnt to choose among candidates")
    assert without_a_list(["uni9"], ["sft"], "uni9") == []
    assert without_a_list(["full"], ["sasrec"], None) == []


def test_models_that_never_saw_a_list_are_owned_up_to_where_they_are_shown_one():
    (note,) = without_a_list(["uni9", "full"], ["sasrec", "grpo"], "full")
    assert note.startswith("uni9: grpo learnt to answer prompts that list nothing")
    assert without_a_list(["full"], ["sft", "grpo"], "full") == []


def test_a_handful_of_samples_is_warned_of():
    assert too_few("uni9", 10) is None
    assert too_few("uni9", 1).startswith("uni9: only 1 test samples, so nothing is compared")
