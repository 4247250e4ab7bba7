"""Rows of training, cut so that each item is told once; and samples as whole numbers."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmrec.recommender.rows import (
    Asked,
    Sequences,
    batches,
    by_length,
    gathered,
    numbered,
    windows,
)

CATALOGUE = pl.Series(["a", "b", "c", "d"])


def made(lengths):
    """Users with so many interactions; the items are 0, 1, 2, … over all users."""
    return Sequences(items=np.arange(sum(lengths)), ends=np.cumsum(lengths))


def rng(seed=0):
    return np.random.default_rng(seed)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    length=st.integers(1, 7),
    stride=st.integers(1, 7),
    seed=st.integers(0, 9),
    size=st.integers(1, 5),
)
def test_every_item_but_the_first_is_told_once(lengths, length, stride, seed, size):
    """And after its user's own items alone, up to so many of them, in rows without a gap."""
    sequences, told, stride = made(lengths), [], min(stride, length)
    rows = windows(sequences, length, stride, rng(seed))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    seen = 0
    for part in batches(rows, size, rng(seed)):
        items, losing = gathered(sequences, rows, part)
        seen += len(part)
        assert len(part) <= size and 2 <= items.shape[1] <= length + 1
        assert (np.diff(items, axis=1) == 1).all()
        assert (owner[items] == owner[items[:, :1]]).all()
        assert not losing[:, 0].any()  # nothing stands before it
        told += items[losing].tolist()
    firsts = {0, *np.cumsum(lengths)[:-1].tolist()}
    assert sorted(told) == sorted({*range(sum(lengths))} - firsts)
    assert seen == len(rows.size)


def test_stride_one_shows_each_item_all_of_its_history():
    """Six items, histories of three: the rows end at each item from the fourth on."""
    sequences = made([6])
    rows = windows(sequences, 3, 1, rng())
    found = sorted(zip(rows.start, rows.size, rows.told, strict=True))
    assert found == [(0, 4, 3), (1, 4, 1), (2, 4, 1)]


def test_rows_are_cut_anew_each_time():
    cuts = {tuple(windows(made([40]), 5, 5, rng(seed)).start.tolist()) for seed in range(9)}
    assert len(cuts) > 1


def test_a_batch_has_rows_of_one_length_and_no_more_than_it_may():
    rows = windows(made([2, 9, 3, 2, 9]), 4, 4, rng())
    for part in batches(rows, 2, rng()):
        assert len(part) <= 2 and len({*rows.size[part]}) == 1


def test_ids_become_columns_and_long_histories_lose_their_oldest():
    lists = [["a", "b", "c"], ["d"], []]
    assert [one.tolist() for one in numbered(lists, CATALOGUE, 2)] == [[1, 2], [3], []]
    assert numbered([], CATALOGUE, 2) == []
    sequences = Sequences.of(pl.Series([["c", "a"], ["b"]]), CATALOGUE)
    assert sequences.items.tolist() == [2, 0, 1] and sequences.ends.tolist() == [2, 3]


def test_what_a_user_has_is_not_asked_but_the_target(tmp_path):
    """User 1 has a and b, the target being b met again; user 2 has nothing in training."""
    pl.DataFrame({"item_id": CATALOGUE}).write_parquet(tmp_path / "items.parquet")
    pl.DataFrame({"user_id": ["1", "3"], "items": [["a", "b"], ["c"]]}).write_parquet(
        tmp_path / "sequences.parquet"
    )
    from mllmrec.records import Prepared

    samples = pl.DataFrame(
        {"user_id": ["3", "1", "2"], "history": [["c"], ["a"], ["d"]], "target": ["d", "b", "a"]}
    )
    asked = Asked.of(samples, Prepared(tmp_path), 9)
    assert asked.targets.tolist() == [3, 1, 0]
    assert sorted(zip(*map(np.ndarray.tolist, asked.seen), strict=True)) == [(0, 2), (1, 0)]
    part = asked.part(1, 3)
    assert part.targets.tolist() == [1, 0] and [h.tolist() for h in part.histories] == [[0], [3]]
    assert [cells.tolist() for cells in part.seen] == [[0], [0]]


def test_histories_by_their_length():
    histories = [np.arange(n) for n in (2, 1, 2, 3)]
    assert [some.tolist() for some in by_length(histories)] == [[1], [0, 2], [3]]


def test_an_id_that_the_catalogue_lacks_is_an_error():
    with pytest.raises(pl.exceptions.InvalidOperationError):
        numbered([["e"]], CATALOGUE, 2)
