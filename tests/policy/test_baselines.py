"""Baselines on three users whose counts and cosines can be done in the head."""

from types import SimpleNamespace

import polars as pl
import pytest

from mllmrec import ranking
from mllmrec.policy.baselines import (
    BASELINES,
    cooccurrence_scores,
    cosines,
    popularity_scores,
    random_scores,
)

# Counts: a 3, b 2, c 1, d 0 (d is in the catalogue and in no history).
SEQUENCES = pl.DataFrame(
    {"user_id": ["1", "2", "3"], "items": [["a", "b"], ["a", "b", "c"], ["a"]]}
)
PREPARED = SimpleNamespace(sequences=SEQUENCES, items=pl.DataFrame({"item_id": [*"abcd"]}))


def test_popularity_counts_training_interactions():
    rows = [["a", "d", "c"], ["b"]]
    assert popularity_scores(PREPARED, [["a"], []], rows) == [[3.0, 0.0, 1.0], [2.0]]


def test_cooccurrence_sums_cosines_over_the_history():
    """cos(a,b) = 2/√(3·2), cos(a,c) = 1/√(3·1), cos(b,c) = 1/√(2·1); never with itself."""
    ab, ac, bc = 2 / 6**0.5, 1 / 3**0.5, 1 / 2**0.5
    histories, rows = [["a"], ["a", "b"], []], [["b", "c", "d", "a"], ["c", "b"], ["a"]]
    found = cooccurrence_scores(PREPARED, histories, rows)
    assert found[0] == pytest.approx([ab, ac, 0.0, 0.0])
    assert found[1] == pytest.approx([ac + bc, ab])
    assert found[2] == [0.0]


def test_an_item_twice_in_a_sequence_is_one_user():
    twice = pl.DataFrame({"user_id": ["1"], "items": [["a", "b", "a"]]})
    table = cosines(twice, {"a": 0, "b": 1}).toarray()
    assert table.tolist() == [[0.0, pytest.approx(1.0)], [pytest.approx(1.0), 0.0]]


def test_random_is_chance_and_the_same_for_a_seed():
    """Among 4 candidates the mean rank is 2.5, its standard error over 4000 samples 0.018."""
    rows = [[*"abcd"]] * 4000
    scores = ranking.table(random_scores(PREPARED, [[]] * 4000, rows))
    ranks = ranking.ranks(scores, [0] * 4000, seed=1)
    assert abs(ranks.mean() - 2.5) < 0.08
    assert (ranks == ranking.ranks(scores, [0] * 4000, seed=1)).all()
    assert (ranks != ranking.ranks(scores, [0] * 4000, seed=2)).any()


def test_each_policy_without_a_model_has_a_name():
    assert set(BASELINES) == {"random", "popularity", "cooccurrence"}
