"""Rationales from genres alone, word for word."""

import polars as pl

from mllmrec.reasoner.template import Template, leading
from mllmrec.records import ITEMS

ITEM = {"picture": None, "year": None}
CATALOGUE = pl.DataFrame(
    [
        {"item_id": "1", "title": "A", "genres": ["Crime"], **ITEM},
        {"item_id": "2", "title": "B", "genres": ["Crime", "Drama"], **ITEM},
        {"item_id": "3", "title": "C", "genres": ["Drama"], **ITEM},
        {"item_id": "4", "title": "D", "genres": None, **ITEM},
    ],
    schema=ITEMS,
)


def write(*histories, recent=1):
    table = pl.DataFrame(
        {"sample_id": [str(n) for n in range(len(histories))], "history": histories}
    )
    return list(Template(recent=recent).write(table, CATALOGUE))


def test_the_whole_history_and_the_latest_items():
    assert write(["1", "2", "1", "3"]) == [
        "Mostly Crime (3 of 4), Drama (2 of 4); lately Drama, which fits next."
    ]


def test_more_latest_items_outvote_the_last():
    assert "lately Crime," in write(["1", "2", "1", "3"], recent=3)[0]


def test_latest_items_without_a_genre_fall_back_on_the_history():
    assert write(["1", "4"]) == ["Mostly Crime (1 of 2); lately Crime, which fits next."]


def test_a_history_without_genres_says_so():
    assert (
        write(["4"], ["unknown"])
        == ["The history says nothing of genres; what is popular would fit next."] * 2
    )


def test_ties_are_told_by_name():
    assert leading([["b"], ["a"], ["c", "a", "b"]]) == [("a", 2), ("b", 2), ("c", 1)]


def test_one_text_a_row_in_their_order():
    texts = write(["3"], ["1"])
    assert ["Drama" in texts[0], "Crime" in texts[1]] == [True, True]
