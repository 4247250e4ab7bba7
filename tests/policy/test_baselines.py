"""Baselines on three users whose counts and cosines can be done in the head."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from mllmrec import ranking
from mllmrec.dataset import full
from mllmrec.errors import Refusal
from mllmrec.policy.baselines import BASELINES, cosines, gathered
from tests.stage.test_prepare import build, dataset

# Counts: a 3, b 2, c 1, d 0 (d is in the catalogue and in no history); 6 interactions.
SEQUENCES = pl.DataFrame(
    {
        "user_id": ["1", "2", "3"],
        "items": [["a", "b"], ["a", "b", "c"], ["a"]],
        "times": [[0, 90], [10, 91, 100], [95]],
    }
)


def known(sequences, items, counted=None):
    """What a policy asks of ``Prepared``, with a table ``popularity`` or without one."""
    return SimpleNamespace(
        sequences=sequences,
        items=pl.DataFrame({"item_id": items}),
        has=lambda table: table == "popularity" and counted is not None,
        scan=lambda table: pl.LazyFrame(counted),
    )


PREPARED = known(SEQUENCES, [*"abcd"])


def scores(name, histories, prepared=PREPARED):
    return BASELINES[name](prepared)(histories).tolist()


def of(sequences, items):
    table = pl.DataFrame({"user_id": [str(n) for n in range(len(sequences))], "items": sequences})
    return known(table, items)


def test_popularity_counts_training_interactions():
    assert scores("popularity", [["a"], []]) == [[3.0, 2.0, 1.0, 0.0]] * 2


def test_popularity_is_what_prepare_has_counted():
    """No sequence is read, and the table's order is its own."""
    prepared = known(None, [*"abcd"], {"item_id": [*"dbca"], "weight": [0, 2, 1, 3]})
    assert scores("popularity", [["a"], []], prepared) == [[3.0, 2.0, 1.0, 0.0]] * 2


def test_prepare_counts_what_the_sequences_hold(tmp_path):
    """The same scores with the table as without it, on what the stage has written."""
    made, _ = build(tmp_path, dataset("toy", users=400, poster_size=16))
    without = known(made.sequences, made.items["item_id"])
    assert made.has("popularity") and not made.has("popularities")
    assert scores("popularity", [[]], made) == scores("popularity", [[]], without)


def test_recent_popularity_counts_the_last_tenth_of_the_time():
    """From 0 to 100 that is what comes after 90: b at 91, a at 95, c at 100."""
    assert scores("popularity_recent", [["d"]]) == [[1.0, 1.0, 1.0, 0.0]]


def test_all_is_recent_where_there_is_one_time():
    once = SEQUENCES.with_columns(times=pl.col("times").list.eval(pl.element() * 0 + 7))
    prepared = known(once, [*"abcd"])
    assert scores("popularity_recent", [[]], prepared) == scores("popularity", [[]])


def test_without_times_nothing_is_recent():
    prepared = known(SEQUENCES.drop("times"), [*"abcd"])
    with pytest.raises(Refusal, match=r"has no times.*force=\[prepare\]"):
        BASELINES["popularity_recent"](prepared)


def test_markov_is_what_followed_the_last_item_smoothed_by_popularity():
    """a → b twice, b → c once; the shares of a, b, c are 3/6, 2/6, 1/6."""
    share = [3 / 6, 2 / 6, 1 / 6, 0.0]
    found = scores("markov", [["a"], ["a", "b"], ["c"], []])
    assert found[0] == pytest.approx([share[0] / 3, (2 + share[1]) / 3, share[2] / 3, 0.0])
    assert found[1] == pytest.approx([share[0] / 2, share[1] / 2, (1 + share[2]) / 2, 0.0])
    assert found[2] == found[3] == pytest.approx(share)  # nothing ever followed c
    assert [sum(row) for row in found] == pytest.approx([1.0] * 4)


def test_a_users_last_item_is_not_followed_by_the_next_users_first():
    found = scores("markov", [["b"]], of([["a", "b"], ["c", "a"]], [*"abc"]))
    assert found[0] == pytest.approx([2 / 4, 1 / 4, 1 / 4])  # the shares alone


def test_cooccurrence_sums_cosines_over_the_history():
    """cos(a,b) = 2/√(3·2), cos(a,c) = 1/√(3·1), cos(b,c) = 1/√(2·1); never with itself."""
    ab, ac, bc = 2 / 6**0.5, 1 / 3**0.5, 1 / 2**0.5
    found = scores("cooccurrence", [["a"], ["a", "b"], [], ["a", "a"]])
    assert found[0] == pytest.approx([0.0, ab, ac, 0.0])
    assert found[1] == pytest.approx([ab, ab, ac + bc, 0.0])
    assert found[2] == [0.0] * 4
    assert found[3] == pytest.approx([0.0, 2 * ab, 2 * ac, 0.0])


def test_an_item_twice_in_a_sequence_is_one_user():
    table = cosines(of([["a", "b", "a"]], [*"ab"])).toarray()
    assert table.tolist() == [[0.0, pytest.approx(1.0)], [pytest.approx(1.0), 0.0]]


def test_cosines_are_the_same_in_parts(monkeypatch):
    """Twelve bytes a pair, of which eight are the cosine: places in 32 bits."""
    rng = np.random.default_rng(0)
    users = [[f"i{n % 30}" for n in rng.zipf(1.4, size=size)] for size in range(1, 25)]
    data = of(users, [f"i{n}" for n in range(30)])
    whole = cosines(data)
    monkeypatch.setattr(full, "CELLS", 7 * 30)
    parts = cosines(data)
    assert (whole.toarray() == parts.toarray()).all()
    watched = np.array([[f"i{n}" in row for n in range(30)] for row in users], dtype=float)
    norm = np.maximum(np.linalg.norm(watched, axis=0), 1e-9)
    by_hand = (watched / norm).T @ (watched / norm)
    np.fill_diagonal(by_hand, 0.0)
    assert parts.toarray() == pytest.approx(by_hand)
    assert parts.indices.dtype == parts.indptr.dtype == np.int32


def test_scores_of_candidates_are_gathered_in_chunks(monkeypatch):
    """Two histories of four items at once: the third comes in another chunk."""
    monkeypatch.setattr(full, "CELLS", 8)
    sizes = []

    def catalogue(histories):
        sizes.append(len(histories))
        return np.array([[float(len(row)), 1.0, 2.0, 3.0] for row in histories])

    rows = [["a", "d"], ["b"], ["d", "c", "a"]]
    found = gathered(catalogue, PREPARED, [["a"], [], ["a", "b"]], rows)
    assert found == [[1.0, 3.0], [1.0], [3.0, 2.0, 2.0]]
    assert sizes == [2, 1]


def test_random_is_chance_and_the_same_for_a_seed():
    """Among 4 candidates the mean rank is 2.5, its standard error over 4000 samples 0.018."""
    rows = [[*"abcd"]] * 4000
    equal = gathered(BASELINES["random"](PREPARED), PREPARED, [[]] * 4000, rows)
    table = ranking.table(equal)
    ranks = ranking.ranks(table, [0] * 4000, seed=1)
    assert abs(ranks.mean() - 2.5) < 0.08
    assert (ranks == ranking.ranks(table, [0] * 4000, seed=1)).all()
    assert (ranks != ranking.ranks(table, [0] * 4000, seed=2)).any()


@pytest.mark.parametrize("name", BASELINES)
def test_each_call_gives_scores_of_its_own(name):
    """What masks them in place must not change the next call's."""
    catalogue = BASELINES[name](PREPARED)
    first = catalogue([["a"]])
    kept = first.copy()
    first[:] = -np.inf
    assert first.shape == (1, 4) and (catalogue([["a"]]) == kept).all()


def test_each_policy_without_a_model_has_a_name():
    known = {"random", "popularity", "popularity_recent", "markov", "cooccurrence"}
    assert set(BASELINES) == known
