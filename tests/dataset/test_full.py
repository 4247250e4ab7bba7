"""The whole catalogue by hand, by brute force, and by a language model in several ways."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec import ranking
from mllmrec.dataset import full
from mllmrec.dataset.full import Whole, found_rate, size_of
from mllmrec.policy.baselines import BASELINES, gathered
from mllmrec.records import Prepared
from tests.stage.test_prepare import build, dataset

LETTERS = "abcdefgh"
SEQUENCES = {"1": "abc", "2": "bd", "3": "acg"}  # training interactions
# user, history, target; user 3 is too short for a validation sample, user 2's lines are published
VALIDATION = [("1", "abc", "d"), ("2", "bd", "a")]
TEST = [("1", "bcd", "e"), ("2", "bd", "f"), ("3", "cgb", "h")]


def sampled(rows):
    ids = [f"{user}:{n}" for n, (user, *_) in enumerate(rows)]
    columns = zip(*rows, strict=True)
    user, history, target = columns
    told = {"sample_id": ids, "user_id": user, "history": [*map(list, history)], "target": target}
    return pl.DataFrame(told)


def write(folder, *, items=LETTERS, counted=None, parts=(SEQUENCES, VALIDATION, TEST)):
    """What ``prepare`` leaves, by hand; ``counted`` items are in the pool."""
    pl.DataFrame({"item_id": [*items]}).write_parquet(folder / "items.parquet")
    sequences, validation, test = parts
    rows = {"user_id": [*sequences], "items": [[*row] for row in sequences.values()]}
    pl.DataFrame(rows).write_parquet(folder / "sequences.parquet")
    lines = [*sequences.items(), *((user, [*row, last]) for user, row, last in validation + test)]
    has = {user: [] for user, _ in reversed(lines)}  # in another order than the samples
    for user, row in lines:
        has[user] += [item for item in row if item not in has[user]]
    told = {"user_id": [*has], "items": [*has.values()]}
    pl.DataFrame(told).write_parquet(folder / "owned.parquet")
    sampled(validation).write_parquet(folder / "validation.parquet")
    sampled(test).write_parquet(folder / "test.parquet")
    counts = {"counts": {"items": counted or len(items)}}
    (folder / "stats.json").write_text(json.dumps(counts))
    return Prepared(folder)


def candidates(whole):
    """The names of each sample's candidates."""
    every = whole.masked(slice(None), np.zeros((len(whole.samples), len(whole.ids))))
    return ["".join(whole.ids.gather(np.flatnonzero(row == 0))) for row in every]


def test_candidates_are_all_items_but_the_users_other_ones(tmp_path):
    """User 1 has a, b, c, d and the target e; 2 has b, d, a and f; 3 has a, c, g, b and h."""
    prepared = write(tmp_path)
    whole = Whole.of(prepared, prepared.samples("test"))
    assert candidates(whole) == ["efgh", "cefgh", "defh"]
    assert whole.sizes.tolist() == [4, 5, 4]
    assert [sorted(whole.ids.gather(whole.barred(n))) for n in range(3)] == [
        [*"abcd"],
        [*"abd"],
        [*"abcg"],
    ]


def test_two_samples_of_a_user_bar_each_others_targets(tmp_path):
    """Published lines: user 1 has two, with the targets e and f."""
    lines = [("1", "bcd", "e"), ("1", "ab", "f")]
    prepared = write(tmp_path, parts=(SEQUENCES, VALIDATION, lines))
    whole = Whole.of(prepared, prepared.samples("test")[[1, 0]])
    assert candidates(whole) == ["fgh", "egh"] and whole.sizes.tolist() == [3, 3]
    assert candidates(Whole.of(prepared, prepared.samples("test").head(1))) == ["egh"]


def test_items_that_only_adopted_candidates_name_are_nobodys(tmp_path):
    """x and y are in the table of items alone; the pool counts 8 items."""
    prepared = write(tmp_path, items=LETTERS + "xy", counted=8)
    whole = Whole.of(prepared, prepared.samples("test"))
    assert candidates(whole) == ["efgh", "cefgh", "defh"]
    assert whole.sizes.tolist() == [4, 5, 4]
    assert sorted(whole.ids.gather(whole.barred(0))) == [*"abcdxy"]


@pytest.mark.parametrize("exclude", ["own", "history"])
def test_of_a_temporal_split_no_item_of_the_users_own_is_a_candidate(tmp_path, exclude):
    """Neither those after the target of test, nor those that are older than the history."""
    rng, has = np.random.default_rng(0), {str(user): [] for user in range(6)}
    for user in has:
        has[user] = [f"{film:02d}" for film in rng.permutation(30)[:8]]
    lines = [f"{user}::{film}::5::{at}\n" for user in has for at, film in enumerate(has[user])]
    (tmp_path / "ratings.dat").write_text("".join(lines))
    (tmp_path / "movies.dat").write_text("".join(f"{film:02d}::F{film}::\n" for film in range(30)))
    data = dataset("movietweetings", path=str(tmp_path), min_interactions=5, k_core=None)
    cut = {"split": "temporal", "temporal": {"validation": 0.25, "test": 0.4}}
    knobs = {"protocols": ["uni5"], "min_history": 1, "history_length": 2, "exclude": exclude}
    prepared, _ = build(tmp_path / "made", data, **knobs, **cut)
    samples = prepared.samples("test")
    whole, catalogue = Whole.of(prepared, samples), prepared.items["item_id"]
    every = whole.masked(slice(None), np.zeros((len(samples), len(catalogue))))
    assert samples.height == 6 and whole.sizes.tolist() == [len(catalogue) - 7] * 6
    for row, sample in zip(every, samples.iter_rows(named=True), strict=True):
        assert sample["target"] == has[sample["user_id"]][4]  # of places 0 to 7
        expected = {*catalogue} - {*has[sample["user_id"]]} | {sample["target"]}
        assert {*catalogue.gather(np.flatnonzero(row == 0))} == expected


def test_ranks_and_lists_by_hand(tmp_path):
    prepared = write(tmp_path)
    whole = Whole.of(prepared, prepared.samples("test"))
    #             a  b  c  d  e  f  g  h
    scores = [[9, 9, 9, 9, 2, 3, 1, 4], [9, 9, 5, 9, 4, 2, 3, 1], [9, 9, 9, 1, 2, 3, 9, 4]]
    table = whole.rankings([(slice(0, 3), np.array(scores))], seed=0)
    assert table["rank"].to_list() == [3, 4, 1]
    assert ["".join(row) for row in table["ranked"]] == ["hfeg", "cegfh", "hfed"]
    assert table["scores"].to_list() == [[4, 3, 2, 1], [5, 4, 3, 2, 1], [4, 3, 2, 1]]
    assert table["candidates"].to_list() == [4, 5, 4]
    assert table["target"].to_list() == [*"efh"]


def test_what_a_search_does_not_find_is_missed(tmp_path):
    prepared = write(tmp_path)
    whole = Whole.of(prepared, prepared.samples("test"))
    none = -np.inf
    scores = [[none] * 4 + [none, 3, none, 4], [none] * 8, [none] * 7 + [4]]
    table = whole.rankings([(slice(0, 3), np.array(scores))], seed=0)
    assert table["rank"].to_list() == [0, 0, 1]
    assert table["ranked"].to_list() == [[*"hf"], [], ["h"]]
    assert found_rate(table["rank"].to_numpy()) == {"found": 1 / 3}


def many(folder, users=30, items=150, seed=0):
    """More users and items, drawn: each has 3 to 20 items, the last two not for training."""
    rng = np.random.default_rng(seed)
    names = [f"i{n}" for n in range(items)]
    rows = [rng.permutation(items)[: rng.integers(5, 20)] for _ in range(users)]
    rows = {str(n): [names[i] for i in row] for n, row in enumerate(rows)}
    trained = {user: row[:-2] for user, row in rows.items()}
    last, before = (
        [(user, row[n - 3 : n], row[n]) for user, row in rows.items()] for n in (-1, -2)
    )
    return write(folder, items=names, parts=(trained, before, last)), rows


@pytest.mark.parametrize("policy", ["random", "popularity", "markov", "cooccurrence"])
def test_a_baselines_rank_is_that_of_brute_force(tmp_path, policy, monkeypatch):
    """Over the allowed set, ties by the seeded order of the whole table; also in small chunks."""
    prepared, rows = many(tmp_path)
    samples = prepared.samples("test")
    catalogue, names = BASELINES[policy](prepared), prepared.items["item_id"].to_list()
    scores = np.array(catalogue(samples["history"].to_list()))
    order = ranking.order(scores, seed=7)  # of all items, the user's own too
    expected = []
    for sample, best in zip(samples.iter_rows(named=True), order, strict=True):
        others = {*rows[sample["user_id"]]} - {sample["target"]}
        expected.append([names[i] for i in best if names[i] not in others])
    whole = Whole.of(prepared, samples)
    table = whole.rankings(whole.by(catalogue), seed=7)
    assert table["ranked"].to_list() == [row[:100] for row in expected]
    places = [row.index(t) + 1 for row, t in zip(expected, samples["target"], strict=True)]
    assert table["rank"].to_list() == places and max(places) > 100
    assert table["candidates"].to_list() == [*map(len, expected)]
    monkeypatch.setattr(full, "CELLS", 400)  # two samples at once
    assert len([*whole.by(catalogue)]) == 15
    assert whole.rankings(whole.by(catalogue), seed=7).equals(table)


@pytest.mark.parametrize("policy", ["popularity", "markov", "cooccurrence"])
def test_among_drawn_candidates_the_target_stands_no_lower_than_among_all(tmp_path, policy):
    """Drawn negatives are candidates of the whole catalogue too, so fewer can be better."""
    prepared, rows = many(tmp_path, seed=3)
    samples = prepared.samples("test")
    rng, names = np.random.default_rng(0), prepared.items["item_id"].to_list()
    drawn = [
        [*rng.choice([n for n in names if n not in rows[user]], 9, replace=False), target]
        for user, target in zip(samples["user_id"], samples["target"], strict=True)
    ]
    catalogue = BASELINES[policy](prepared)
    scores = gathered(catalogue, prepared, samples["history"].to_list(), drawn)
    whole = Whole.of(prepared, samples)
    among_all = whole.rankings(whole.by(catalogue), seed=1)["rank"].to_numpy()
    table = np.array(scores)
    better = 1 + (table > table[:, [9]]).sum(axis=1)
    assert (better <= among_all).all() and (better < among_all).any()
    for row, listed in zip(candidates(whole), drawn, strict=True):
        assert all(item in row for item in listed)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**20), st.integers(1, 40), st.integers(1, 4), st.integers(1, 60),
    st.integers(0, 50),
)  # fmt: skip
def test_the_best_are_the_first_of_the_order(seed, items, values, count, first):
    """Of scores with few values, ties are many; a table in parts is one table."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, values, (5, items)).astype(float)
    scores[rng.random((5, items)) < 0.2] = -np.inf
    whole = ranking.order(np.vstack([np.zeros((first, items)), scores]), seed)[first:]
    assert (ranking.order(scores, seed, first) == whole).all()
    assert (ranking.best(scores, count, seed, first) == whole[:, :count]).all()
    target = rng.integers(0, items, 5)
    places = [row.tolist().index(t) + 1 for row, t in zip(whole, target, strict=True)]
    assert ranking.ranks(scores, target, seed, first).tolist() == places


def test_the_size_that_a_name_says():
    assert [size_of(name) for name in ("uni9", "pop99", "hard19")] == [10, 100, 20]
    assert size_of("full") > 10**9
