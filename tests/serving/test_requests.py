"""Whom lists are for: histories of users, what is barred, and faults counted."""

import polars as pl
import pytest

from mllmrec.errors import Refusal
from mllmrec.records import ITEMS, SAMPLES, SEQUENCES, Prepared
from mllmrec.serving.names import Names
from mllmrec.serving.requests import Faults, resolved, users_of
from mllmrec.serving.rows import Row


@pytest.fixture
def prepared(tmp_path):
    """One row a user for ``ann`` (in order of time), two rows for ``bob``, whose items are a set.

    ``eve`` came after the cut of training and has a sample of one item more than she was asked.
    """
    items = [(id, f"T{id}", None, [], None) for id in "abcdefgh"]
    pl.DataFrame(items, schema=ITEMS, orient="row").write_parquet(tmp_path / "items.parquet")
    owned = [("ann", [*"dbca"]), ("bob", [*"abcdef"]), ("eve", [*"hgfe"]), ("new", [*"ba"])]
    trained = [("ann", [*"db"]), ("bob", [*"fa"])]
    for name, rows in (("owned", owned), ("sequences", trained)):
        table = pl.DataFrame(rows, schema=SEQUENCES, orient="row")
        table.write_parquet(tmp_path / f"{name}.parquet")
    samples = {
        "train": [("ann:1", "ann", ["d"], "b")],
        "validation": [("ann:2", "ann", ["d", "b"], "c")],
        "test": [
            ("ann:3", "ann", ["b", "c"], "a"),
            ("bob:1", "bob", ["f", "a"], "b"),
            ("bob:2", "bob", ["e", "d"], "c"),
            ("eve:2", "eve", ["h", "g"], "f"),
        ],
    }
    for split, rows in samples.items():
        table = pl.DataFrame(rows, schema=SAMPLES, orient="row")
        table.write_parquet(tmp_path / f"{split}.parquet")
    return Prepared(tmp_path)


def rows(*cells):
    blank = dict.fromkeys(("id", "history", "user", "candidates"))
    return [Row(where=f"row {n}", cells=blank | one) for n, one in enumerate(cells, start=1)]


def ask(prepared, *cells, candidates=(), limit=0):
    faults = Faults(limit=limit)
    names = Names(prepared.items, "auto")
    return resolved(rows(*cells), names, prepared, candidates, faults), faults


def test_a_users_history_is_all_that_is_known_in_its_order(prepared):
    found = users_of(prepared, ["ann", "bob", "eve", "new"])
    assert found["ann"] == ([*"dbca"], [*"dbca"])  # the split's history lacks the oldest
    assert found["bob"] == (["e", "d", "c"], [*"abcdef"])  # a set has no order: the latest sample
    assert found["eve"] == ([*"hgfe"], [*"hgfe"])  # with what came after the sample
    assert found["new"] == (["b", "a"], ["b", "a"])  # too short for any sample
    assert users_of(prepared, []) == {} and users_of(prepared, ["zoe"]) == {}


def test_names_become_ids_and_what_is_had_is_barred(prepared):
    table, faults = ask(
        prepared,
        {"history": ["Ta", "b", "a"]},
        {"id": "x", "user": "ann", "candidates": ["tb", "Th"]},
        {"user": "new"},
        candidates=["c", "a"],
    )
    assert faults.count == 0
    assert table["id"].to_list() == ["1", "x", "new"]
    assert table["history"].to_list() == [["a", "b", "a"], [*"dbca"], [*"ba"]]
    assert table["barred"].to_list() == [["a", "b"], [*"dbca"], [*"ba"]]
    assert table["candidates"].to_list() == [["c"], ["h"], ["c"]]  # without what they have


@pytest.mark.parametrize(
    ("cells", "wrong"),
    [
        ({"history": ["nobody"]}, "'nobody' is no item"),
        ({"history": ["x", "a"], "candidates": ["y"]}, "'y' is no item; 'x' is no item"),
        ({"user": "zoe"}, "'zoe' is no user"),
        ({}, "exactly one of history and user"),
        ({"user": "ann", "history": ["a"]}, "exactly one of history and user"),
        ({"history": []}, "the history is empty"),
        ({"history": ["a"], "candidates": ["b", "Tb"]}, "the candidate 'Tb' stands there twice"),
        ({"history": ["a", "b"], "candidates": ["b"]}, "all of its candidates are in its history"),
        ({"history": ["a"], "id": "x"}, "the id 'x' is another row's too"),
    ],
)
def test_a_row_that_cannot_be_asked_is_left_out_and_told(prepared, cells, wrong):
    table, faults = ask(prepared, {"history": ["h"], "id": "x"}, cells, limit=1)
    assert table["id"].to_list() == ["x"]
    assert faults.count == 1 and f"row 2: {wrong}" in faults.told[0]
    faults.settle(len(table), is_file=True)
    faults.limit = 0
    with pytest.raises(Refusal, match="row 2") as refusal:
        faults.settle(len(table), is_file=True)
    assert "recommend.max_bad_rows=1" in refusal.value.do


def test_a_number_is_given_only_where_it_is_nobodys_id(prepared):
    asked = [{"history": ["h"]}, {"history": ["a"], "id": "1"}, {"history": ["b"], "id": "5"}]
    table, faults = ask(prepared, *asked, {"history": ["c"]})
    assert faults.count == 0
    assert table["id"].to_list() == ["6", "1", "5", "4"]  # 5 is beyond the last row, and taken


def test_a_user_who_is_asked_for_twice_wants_an_id_for_each(prepared):
    asked = [{"user": "ann", "candidates": ["h"]}, {"user": "ann", "candidates": ["g"]}]
    table, faults = ask(prepared, *asked)
    assert table["id"].to_list() == ["ann"]
    assert "row 2: the id 'ann' is another row's too; give each an id" in faults.told[0]
    table, faults = ask(prepared, asked[0], asked[1] | {"id": "later"})
    assert table["id"].to_list() == ["ann", "later"] and faults.count == 0


def test_many_faults_are_counted_and_the_first_ones_told(prepared):
    table, faults = ask(prepared, *({"history": [f"x{n}"]} for n in range(8)), limit=8)
    with pytest.raises(Refusal) as refusal:
        faults.settle(len(table), is_file=True)  # nobody is left
    assert "row 5" in refusal.value.wrong and "row 6" not in refusal.value.wrong
    assert "and 3 more" in refusal.value.wrong and refusal.value.do.startswith("mend the file")
