"""Metrics that can be checked in the head, and against an independent library."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmrec.errors import Refusal
from mllmrec.ranking import (
    MISSED,
    Difference,
    admissible,
    admissible_k,
    difference,
    differences,
    hit_rate,
    holm,
    intervals,
    metrics,
    mrr,
    ndcg,
    order,
    ranks,
    table,
    verdict,
)


def test_the_rank_is_the_place_from_the_top():
    scores = [[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.1, 0.9, 0.5]]
    assert ranks(scores, [1, 2, 0], seed=0).tolist() == [1, 2, 3]
    assert order(scores, seed=0).tolist() == [[1, 2, 0]] * 3


@pytest.mark.parametrize(
    ("rank", "hr", "gain", "reciprocal"),
    [(1, 1, 1, 1), (3, 1, 0.5, 1 / 3), (7, 0, 0, 1 / 7)],
)
def test_metrics_at_five(rank, hr, gain, reciprocal):
    at = np.array([rank])
    assert hit_rate(at, 5)[0] == hr
    assert ndcg(at, 5)[0] == pytest.approx(gain)
    assert mrr(at)[0] == pytest.approx(reciprocal)


def test_what_is_missed_counts_nothing():
    """Ranks 2 and 4, and a target that a list does not name."""
    found = np.array([2, MISSED, 4])
    assert hit_rate(found, 3).tolist() == [1, 0, 0]
    assert hit_rate(found, 10**6).tolist() == [1, 0, 1]
    assert ndcg(found, 3).tolist() == pytest.approx([1 / math.log2(3), 0, 0])
    assert mrr(found).tolist() == [0.5, 0, 0.25]


def test_ndcg_just_inside_the_cut():
    assert ndcg(np.array([7]), 7)[0] == pytest.approx(1 / math.log2(8)) == pytest.approx(1 / 3)


def test_metrics_go_by_name():
    values = metrics(np.array([1, 3]), [1, 3])
    assert {name: value.mean() for name, value in values.items()} == pytest.approx(
        {"hr@1": 0.5, "hr@3": 1.0, "ndcg@1": 0.5, "ndcg@3": 0.75, "mrr": 2 / 3}
    )


def test_they_agree_with_torchmetrics():
    pytest.importorskip("torchmetrics")
    import torch
    from torchmetrics.functional import retrieval as library

    scores = np.random.default_rng(0).random((40, 12))  # it ignores a target scored below 0
    target = np.random.default_rng(1).integers(12, size=40)
    found = ranks(scores, target, seed=0)
    for n, (row, column) in enumerate(zip(scores, target, strict=True)):
        args = torch.tensor(row), torch.arange(12) == column
        for k in (1, 5, 10):
            hr, gain = hit_rate(found, k)[n], ndcg(found, k)[n]
            assert hr == library.retrieval_hit_rate(*args, top_k=k)
            assert gain == pytest.approx(library.retrieval_normalized_dcg(*args, top_k=k).item())
        assert mrr(found)[n] == pytest.approx(library.retrieval_reciprocal_rank(*args).item())


@pytest.mark.parametrize("column", [0, 4, 9])
def test_a_policy_that_cannot_tell_scores_like_chance_wherever_the_target_is(column):
    found = ranks(np.zeros((4000, 10)), np.full(4000, column), seed=3)
    counts = np.bincount(found, minlength=11)[1:]
    assert np.all(np.abs(counts - 400) < 5 * math.sqrt(400 * 0.9))


def test_ranks_and_order_agree_on_ties():
    scores = np.random.default_rng(0).integers(3, size=(50, 8))
    target = np.random.default_rng(1).integers(8, size=50)
    found = order(scores, seed=5)
    place = 1 + (found == target[:, None]).argmax(axis=1)
    assert place.tolist() == ranks(scores, target, seed=5).tolist()


def test_ties_fall_the_same_for_a_seed_and_otherwise_for_another():
    scores = np.zeros((5, 30))
    assert order(scores, seed=1).tolist() == order(scores, seed=1).tolist()
    assert order(scores, seed=1).tolist() != order(scores, seed=2).tolist()
    assert len({tuple(row) for row in order(scores, seed=1)}) == 5
    assert order(scores[:3], seed=1).tolist() == order(scores, seed=1)[:3].tolist()


def test_ragged_rows_are_padded_below_every_candidate():
    scores = table([[-5.0], [-9.0, -8.0, -7.0]])
    assert scores.tolist() == [[-5.0, -np.inf, -np.inf], [-9.0, -8.0, -7.0]]
    assert ranks(scores, [0, 0], seed=0).tolist() == [1, 3]
    assert table([]).shape == (0, 0)


def test_nan_ranks_nothing():
    both = r"sample 1 .*NaN.*type.* sft\.learning_rate=.* recommender\.NAME\.learning_rate="
    with pytest.raises(Refusal, match=both):
        ranks([[1.0, 2.0], [np.nan, 1.0]], [0, 0], seed=0)


def test_k_below_the_number_of_candidates_only():
    assert admissible_k([1, 5, 9, 10, 20, 0], 10) == (1, 5, 9)
    assert admissible([5, 10], {"uni9": 10, "uni99": 100}) == {"uni9": (5,), "uni99": (5, 10)}
    assert admissible([10], {"uni9": 10, "uni99": 100}) == {"uni9": (), "uni99": (10,)}


def test_no_k_at_all_is_refused():
    with pytest.raises(Refusal, match=r"uni9 has 10.*K from 1 to 9.*evaluate\.k="):
        admissible([10, 20], {"uni9": 10})


def test_the_interval_is_that_of_the_normal_law_for_many_samples():
    values = np.random.default_rng(0).normal(2.0, 3.0, size=1000)
    found = intervals({"a": values}, seed=0)["a"]
    half = 1.96 * values.std() / math.sqrt(1000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    draws = [intervals({"a": rng.random(100) < 0.3}, seed=n, draws=500)["a"] for n in range(200)]
    assert 0.9 <= np.mean([found.low <= 0.3 <= found.high for found in draws]) <= 0.98


def test_intervals_are_those_of_each_alone_and_repeat():
    values = {"a": np.arange(20.0), "b": np.ones(20)}
    together = intervals(values, seed=7)
    assert together["a"] == intervals({"a": values["a"]}, seed=7)["a"]
    assert (together["b"].low, together["b"].mean, together["b"].high) == (1, 1, 1)
    assert together["a"] != intervals(values, seed=8)["a"]


def test_blocks_do_not_change_what_is_drawn_for_most(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    monkeypatch.setattr("mllmrec.ranking._BLOCK", 333)
    found = intervals({"a": values}, seed=0)["a"]
    half = 1.96 * values.std() / math.sqrt(50)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)


def test_pairing_finds_a_difference_that_unpaired_noise_would_hide():
    hard = np.random.default_rng(0).normal(0, 10, size=200)
    better, worse = hard + 1 + np.random.default_rng(1).normal(size=200), hard
    found = difference(better, worse, seed=0)
    assert verdict(found) == "above"
    assert found.p < 0.01
    assert found.low < found.diff < found.high
    assert verdict(difference(worse, better, seed=0)) == "below"


def test_equal_policies_are_not_distinguishable():
    same = np.ones(30)
    assert difference(same, same, seed=0) == Difference(diff=0, low=0, high=0, p=1)
    noise = np.random.default_rng(2).normal(size=300)
    found = difference(noise - noise.mean(), np.zeros(300), seed=0)
    assert verdict(found) == "not distinguishable"
    assert found.p > 0.5


def test_chance_is_called_a_difference_about_one_time_in_twenty():
    rng = np.random.default_rng(0)
    found = [difference(rng.normal(size=80), rng.normal(size=80), n, draws=400) for n in range(200)]
    assert 0.01 <= np.mean([verdict(one) != "not distinguishable" for one in found]) <= 0.1


def test_samples_must_be_the_same_and_some():
    with pytest.raises(ValueError, match="same samples"):
        difference(np.ones(3), np.ones(4), seed=0)
    with pytest.raises(Refusal, match="no samples"):
        intervals({"a": np.ones(0)}, seed=0)


def test_many_differences_at_once_are_those_of_each_alone():
    """Also where resampled differences tie with 0, which another order of sums would break."""
    rng = np.random.default_rng(0)
    base = ndcg(rng.integers(1, 11, 300), 5)
    others = [ndcg(rng.integers(1, 11, 300), 5) for _ in range(5)]
    few = base.copy()
    few[:3] = few[[1, 2, 0]]  # the same values in another order: +d, +e, −(d + e)
    others += [base, few, hit_rate(rng.integers(1, 11, 300), 5)]
    together = differences(np.column_stack(others) - base[:, None], seed=3)
    for many, ours in zip(together, others, strict=True):
        alone = difference(ours, base, seed=3)
        assert many.p == alone.p
        assert (many.diff, many.low, many.high) == pytest.approx(
            (alone.diff, alone.low, alone.high), abs=1e-12
        )


def test_holm_by_hand():
    # sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, and none below one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.2]) == [0.2] and holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.5))
def test_holm_rejects_what_its_steps_reject(p, level):
    """The step-down procedure itself: reject the smallest p while p ≤ level / (tests left)."""
    rejected = set()
    for step, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[place] * (len(p) - step) > level:
            break
        rejected.add(place)
    assert {place for place, own in enumerate(holm(p)) if own <= level} == rejected
