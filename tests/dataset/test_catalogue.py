from pathlib import Path

import polars as pl
import pytest

from mllmrec.dataset.catalogue import one_title_each, titled
from mllmrec.dataset.lines import BadRows
from mllmrec.errors import Refusal

FILE = Path("movies.dat")


def rows(*titles):
    return pl.DataFrame(
        [(line, item, title) for line, (item, title) in enumerate(titles, 1)],
        schema=["line", "item_id", "title"],
        orient="row",
    )


def test_the_same_title_twice_is_no_fault():
    told = one_title_each(rows(("1", "A"), ("01", "B"), ("1", "A")), FILE, BadRows(limit=0))
    assert told["item_id"].to_list() == ["1", "01"]


def test_one_item_with_two_titles():
    two = rows(("1", "A"), ("2", "B"), ("1", "C"))
    with pytest.raises(Refusal, match=r"movies\.dat, line 3: .*'1' with title 'C'.*another title"):
        one_title_each(two, FILE, BadRows(limit=0))
    bad = BadRows(limit=1)
    assert one_title_each(two, FILE, bad)["title"].to_list() == ["A", "B"] and bad.count == 1


def test_an_empty_title_does_not_condemn_the_one_after_it():
    bad = BadRows(limit=1)
    told = one_title_each(rows(("1", "  "), ("1", "A")), FILE, bad)
    assert (
        told["title"].to_list() == ["A"]
        and "line 1: field title of item, value '1'" in bad.first[0]
    )


def test_nothing_left():
    with pytest.raises(Refusal, match="no item with a title is left"):
        one_title_each(rows(("1", "")), FILE, BadRows(limit=1))


def test_an_item_without_a_title():
    items, met = rows(("1", "A")), rows(("1", ""), ("2", ""))
    with pytest.raises(Refusal, match=r"r\.dat, line 2: field item, value '2': .* movies\.dat"):
        titled(met, items, BadRows(limit=0), file=Path("r.dat"), titles=FILE)
