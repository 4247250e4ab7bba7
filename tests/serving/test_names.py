"""Items by id and by title; what is unknown or stands for several is told with what is near."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.records import ITEMS
from mllmrec.serving.names import Names, Unknown, folded

FILMS = {
    "1": "Heat",
    "2": "HEAT",
    "3": "Casino (1995)",
    "4": "The Matrix",
    "5": "The Matrix",
    "1984": "Brazil",
    "7": "1984",
    "8": "Amélie",
    "9": "",
}


def names(match="auto", films=FILMS):
    rows = [(id, title, None, [], None) for id, title in films.items()]
    return Names(pl.DataFrame(rows, schema=ITEMS, orient="row"), match)


@pytest.mark.parametrize(
    ("name", "match", "id"),
    [
        ("3", "auto", "3"),
        ("Casino (1995)", "auto", "3"),
        ("casino  (1995) ", "auto", "3"),  # case and spaces
        ("Ame\u0301lie", "auto", "8"),  # an accent that is typed as a sign of its own
        ("Heat", "auto", "1"),  # as it is written, though another is alike without its case
        ("1984", "id", "1984"),
        ("1984", "title", "7"),
        ("9", "auto", "9"),
    ],
)
def test_a_name_finds_its_item(name, match, id):
    assert names(match).find(name) == id


@pytest.mark.parametrize(
    ("name", "match", "wrong", "do"),
    [
        ("heat", "auto", "'heat' is the title of 2 items (1, 2)", "the id of one of them"),
        ("The Matrix", "auto", "'The Matrix' is the title of 2 items (4, 5)", "the id of one"),
        ("1984", "auto", "is the id of 'Brazil' and the title of 7", "recommend.match=id or"),
        ("casino", "auto", "near it: 3 'Casino (1995)'", "3 or another of these"),
        ("The Matrxi", "auto", "near it: 4 'The Matrix'", "4 or another"),
        ("Heat", "id", "'Heat' is no item's id", "an id"),
        ("3", "title", "'3' is no item's title", ""),
        ("qqqq", "auto", "'qqqq' is no item", "an id or a title"),
    ],
)
def test_a_name_of_nothing_or_of_several_is_refused_with_what_is_near(name, match, wrong, do):
    with pytest.raises(Unknown) as unknown:
        names(match).find(name)
    assert wrong in unknown.value.wrong and do in unknown.value.do


TITLES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(titles=TITLES)
def test_every_title_finds_its_own_item_or_says_that_it_is_several(titles):
    films = {f"id{n}": title for n, title in enumerate(titles)}
    known = names("title", films)
    for id, title in films.items():
        if titles.count(title) == 1:
            assert known.find(title) == id
        else:
            with pytest.raises(Unknown, match="is the title of"):
                known.find(title)


@settings(max_examples=40, deadline=None)
@given(titles=TITLES, data=st.data())
def test_another_case_finds_the_same_item_where_no_other_is_alike(titles, data):
    films = {f"id{n}": title for n, title in enumerate(titles)}
    known, title = names("title", films), data.draw(st.sampled_from(titles))
    typed = f"  {title.upper()} "
    alike = [id for id, one in films.items() if folded(one) == folded(typed)]
    if len(alike) == 1 and typed not in titles:
        assert known.find(typed) == alike[0]
