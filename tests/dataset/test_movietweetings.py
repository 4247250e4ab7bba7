import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from tests.launching import make

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "movietweetings-100k"


def test_fields_survive(dataset, films, met):
    tables = dataset("movietweetings", path=str(films)).load(films)
    assert tables.items["item_id"].to_list() == ["001", "002", "003"]
    assert tables.items["title"].to_list()[1:] == ["Amélie (2001)", "Se7en :: cut (1995)"]
    assert tables.items["year"].to_list() == [1979, 2001, 1995]
    assert tables.items["genres"].to_list() == [["Horror", "Sci-Fi"], [], ["Crime"]]
    assert tables.items["picture"].null_count() == 3
    assert met(tables).rows()[0] == ("1", "002", 20)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1::002", r"field row, value '1::002': not the 4 fields"),
        ("", r"field row, value '': not the 4 fields"),
        ("1::002::8::soon", r"field timestamp, value 'soon': not a number"),
        ("1::002::8::", r"field timestamp, value '': not a number"),
        ("1::002::good::20", r"field rating, value 'good': not a number"),
        ("::002::8::20", r"field user_id, value '': empty"),
        ("1::2::8::20", r"field item, value '2': the item has no title in .*movies\.dat"),
    ],
)
def test_bad_ratings(dataset, films, row, told, met):
    file = films / "ratings.dat"
    file.write_text(f"1::002::8::20\n{row}\n1::001::8::20\n")
    with pytest.raises(Refusal, match=rf"ratings\.dat, line 2: {told}") as refusal:
        dataset("movietweetings", path=str(films)).load(films)
    assert "dataset.max_bad_rows=1" in refusal.value.do
    tables = dataset("movietweetings", path=str(films), max_bad_rows=1).load(films)
    assert met(tables).height == 2 and tables.dropped["bad_rows"] == 1


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("004::Alien", r"field row, value '004::Alien': not the 3 fields"),
        ("004::::Crime", r"field title of item, value '004': the title is empty"),
        ("001::Aliens (1986)::", r"field item, value '001' with title 'Aliens \(1986\)'"),
    ],
)
def test_bad_movies(dataset, films, row, told):
    with (films / "movies.dat").open("a") as file:
        file.write(row)
    with pytest.raises(Refusal, match=rf"movies\.dat, line 4: {told}"):
        dataset("movietweetings", path=str(films)).load(films)


def test_low_ratings_can_be_left_out(dataset, films, met):
    tables = dataset("movietweetings", path=str(films), min_rating=7).load(films)
    assert met(tables).height == 3 and tables.dropped["below_min_rating"] == 1


def test_an_unknown_encoding_is_refused_at_once(dataset):
    with pytest.raises(ValidationError, match="no encoding 'utf9'"):
        dataset("movietweetings", encoding="utf9")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no data at {REAL}")
def test_the_real_files_give_the_published_counts(tmp_path):
    words = ("stage=prepare", "dataset=movietweetings", f"dataset.path={REAL}")
    made = make(Store(root=tmp_path), *words, "prepare.protocols=[uni9]")
    stats = json.loads((made["prepare"].folder / "stats.json").read_text())
    counts = {name: stats["counts"][name] for name in ("users", "items", "interactions")}
    assert counts == {"users": 2290, "items": 2146, "interactions": 53556}
    assert stats["dropped"]["filtered"] == 100000 - 53556
