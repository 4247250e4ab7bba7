"""Hits by the target's place: by hand, against scipy, planted and absent."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from mllmrec.policy.positions import (
    buckets,
    by_position,
    dependence,
    over_orders,
    permuted,
    positions,
    rows_of,
)
from mllmrec.policy.ranked import Ranked


def test_rates_and_spread_by_hand():
    """Four candidates; at place 0 the target is first twice of two, at place 3 once of two."""
    found = by_position(np.array([0, 0, 1, 3, 3]), np.array([1, 1, 2, 1, 4]), 4, seed=0)
    assert found["places"] == ["1", "2", "3", "4"] and found["samples"] == [2, 1, 0, 2]
    assert found["hr@1"]["rates"] == [1.0, 0.0, None, 0.5] and found["hr@1"]["spread"] == 1.0
    assert found["hr@3"]["rates"] == [1.0, 1.0, None, 0.5] and found["hr@3"]["spread"] == 0.5
    assert "hr@3" not in by_position(np.array([0, 1, 2]), np.array([1, 2, 3]), 3, seed=0)


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (3, ["1", "2", "3"]),
        (10, [str(n) for n in range(1, 11)]),
        (20, [f"{n}-{n + 1}" for n in range(1, 20, 2)]),
        (100, [f"{n}-{n + 9}" for n in range(1, 100, 10)]),
        (11, ["1-2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]),
    ],
)
def test_buckets_are_places_or_tenths(candidates, expected):
    assert buckets(candidates) == expected
    samples = by_position(np.arange(candidates), np.ones(candidates), candidates, seed=0)["samples"]
    sizes = [1 + int(b or a) - int(a) for a, _, b in (name.partition("-") for name in expected)]
    assert samples == sizes


def drawn(rates, each, seed=0):
    """Positions, and ranks 1 or 2 such that so many of each position's targets are first."""
    position = np.repeat(np.arange(len(rates)), each)
    first = np.concatenate([np.arange(each) < round(rate * each) for rate in rates])
    order = np.random.default_rng(seed).permutation(len(position))
    return position[order], np.where(first, 1, 2)[order]


def test_p_is_that_of_scipys_chi_square_test():
    rates = [0.5, 0.4, 0.6, 0.45, 0.5]
    found = by_position(*drawn(rates, 100), 5, seed=0)["hr@1"]
    counts = [[100 * rate for rate in rates], [100 * (1 - rate) for rate in rates]]
    expected = stats.chi2_contingency(counts, correction=False).pvalue
    assert found["test"] == "chi-square" and found["p"] == pytest.approx(expected)


def test_where_a_cell_expects_too_little_p_is_drawn():
    """Against the exact probability: of 3 hits among 12, all 3 fall into the first of 3 places."""
    position, ranks = drawn([0.75, 0.0, 0.0], 4)
    found = by_position(position, ranks, 4, seed=1)["hr@1"]
    at_least = 3 * stats.hypergeom.pmf(3, 12, 4, 3)  # as uneven as this, in any of three places
    assert found["test"] == "permutation" and found["p"] == pytest.approx(at_least, abs=0.02)
    assert found == by_position(position, ranks, 4, seed=1)["hr@1"]


def test_nothing_depends_on_anything_where_all_hit():
    found = by_position(np.arange(4), np.ones(4), 4, seed=0)
    assert found["hr@1"] == {"rates": [1.0] * 4, "spread": 0.0, "p": 1.0, "test": "none"}


def test_a_planted_bias_is_told_and_its_absence_is_not():
    biased = by_position(*drawn([0.9, *[0.3] * 8, 0.6], 40), 10, seed=0)
    line = dependence("sft", "uni9", biased)
    assert "uni9: hits of sft" in line and "HR@1 0.900 at place 1, 0.300 at" in line
    even = by_position(*drawn([0.4] * 10, 40), 10, seed=0)
    assert dependence("sft", "uni9", even) is None and even["hr@1"]["p"] == 1


def test_false_alarms_are_as_rare_as_the_level_says():
    """Hits drawn without a look at the place: p is uniform, so 1 in 100 lies below 0.01."""
    rng = np.random.default_rng(0)
    p = [
        by_position(rng.integers(0, 10, 300), rng.integers(1, 11, 300), 10, seed=0)["hr@3"]["p"]
        for _ in range(250)
    ]
    assert np.mean(np.array(p) < 0.01) < 0.03 and 0.4 < np.mean(p) < 0.6


def samples(count=50):
    rows = [[f"i{n + m}" for m in range(10)] for n in range(count)]
    ids = [f"u{n}" for n in range(count)]
    return pl.DataFrame({"sample_id": ids, "target": [row[3] for row in rows], "uni9": rows})


def test_permutations_are_seeded_by_sample_and_number():
    table = samples()
    assert permuted(table, "uni9", 5, 0).equals(table)
    once, again, other = (permuted(table, "uni9", 5, n) for n in (1, 1, 2))
    assert once.equals(again) and not once.equals(other)
    assert not once.equals(permuted(table, "uni9", 6, 1))
    some = permuted(table[[7, 3]], "uni9", 5, 1)
    assert some.equals(once[[7, 3]])  # whatever the company
    assert (once["uni9"].list.sort() == table["uni9"].list.sort()).all()
    assert once.drop("uni9").equals(table.drop("uni9"))
    assert positions(table, "uni9").tolist() == [3] * 50
    assert len({*positions(once, "uni9").tolist()}) >= 8


def ranked(ranks, firsts, ids=None):
    ids = ids or [f"u{n}" for n in range(len(ranks))]
    asked = pl.DataFrame({"sample_id": ids})
    return Ranked(asked=asked, ranks=np.array(ranks), candidates=10, firsts=pl.Series(firsts))


def test_orders_by_hand():
    """Of three samples two are shown again, in two orders; the first item of one changes."""
    base = ranked([1, 5, 3], ["a", "b", "c"])
    others = [ranked([2, 1], ["c", "a"], ["u2", "u0"]), ranked([4, 1], ["c", "d"], ["u2", "u0"])]
    found = over_orders(base, others, [1, 3])
    assert (found["samples"], found["orders"]) == (2, 3)
    assert found["first_changes"] == 0.5
    assert found["rank_spread"] == (2 + 0) / 2
    assert found["hr@1"] == pytest.approx((0 + 1 + 0 + 1 + 0 + 1) / 6)
    assert found["hr@3"] == pytest.approx(5 / 6)


def test_a_target_that_one_list_left_out_stands_behind_all():
    found = over_orders(ranked([1, 2], ["a", "b"]), [ranked([0, 2], [None, "b"])], [1])
    assert found["rank_spread"] == (3 - 1) / 2 and found["first_changes"] == 0.5


def test_what_was_found_as_tables():
    found = by_position(np.array([0, 1, 1]), np.array([1, 2, 1]), 2, seed=0)
    told = {"positions": {"sft": found}, "permutations": {"sft": {"hr@1": 0.5}}}
    more = {"positions": {}, "permutations": {"sft": {"hr@1": 0.2, "hr@3": 0.4}}}
    tables = rows_of({"uni1": told, "uni9": more})
    named = {"protocol": "uni1", "policy": "sft"}
    assert tables["positions"] == [
        {**named, "place": "1", "samples": 1, "hr@1": 1.0},
        {**named, "place": "2", "samples": 2, "hr@1": 0.5},
    ]
    assert tables["orders"] == [  # of each K a column, whatever a protocol admits
        {**named, "hr@1": 0.5, "hr@3": None},
        {"protocol": "uni9", "policy": "sft", "hr@1": 0.2, "hr@3": 0.4},
    ]
