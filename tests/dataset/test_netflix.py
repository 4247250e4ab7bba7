"""Netflix: small files of our own in both of its layouts, with rows as ugly as the real ones."""

import json
import logging

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmrec.dataset import prize
from mllmrec.errors import Refusal
from mllmrec.records import INTERACTIONS, ITEMS
from tests.launching import compose_typed

DAY = 86400
FIRST = "1:\n8,5,2005-09-06\n9,1,1999-12-31\n8,5,2005-09-06\n2:\n"  # a row twice, a movie of none
SECOND = "3:\n9,4,2000-01-01\n010,3,1970-01-02\n"
MOVIES = ["1,2003,Dinosaurs", "2,NULL,Caf\xe9, Noir", '3,1994,"Weird, Al"']


@pytest.fixture
def of_prize(tmp_path):
    """Two of the four files of ratings."""
    (tmp_path / "combined_data_1.txt").write_text(FIRST)
    (tmp_path / "combined_data_3.txt").write_text(SECOND)
    (tmp_path / "movie_titles.csv").write_bytes("".join(m + "\n" for m in MOVIES).encode("latin-1"))
    return tmp_path


@pytest.fixture
def of_lists(tmp_path):
    """All three lists; users that are only in one of them, and a list of nothing."""
    for name, told in {
        "train": {"1": [2, 0], "0": [1, 2, 3], "7": []},
        "val": {"0": [0], "7": [3]},
        "test": {"1": [1], "8": ["2"]},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    (tmp_path / "item_attribute.csv").write_text(
        '0,1994.0,Plain\n1,2003,"Comma, ""quoted"""\n2,NULL,Caf\xe9\n3,,No, no quotes\n',
        encoding="utf-8",
    )
    return tmp_path


def test_ratings_of_the_prize(dataset, of_prize, met, caplog):
    caplog.set_level(logging.INFO)
    tables = dataset("netflix", path=str(of_prize)).load(of_prize / "out")
    assert tables.items.schema == ITEMS
    assert tables.items["title"].to_list() == ["Dinosaurs", "Café, Noir", '"Weird, Al"']
    assert tables.items["year"].to_list() == [2003, None, 1994]
    assert met(tables).rows() == [
        ("8", "1", 13032 * DAY),  # 2005-09-06
        ("9", "1", 10956 * DAY),
        ("8", "1", 13032 * DAY),
        ("9", "3", 10957 * DAY),
        ("010", "3", DAY),
    ]
    assert tables.dropped == {"bad_rows": 0, "below_min_rating": 0}
    assert "reads combined_data_1.txt, combined_data_3.txt" in caplog.text
    assert "without combined_data_2.txt, combined_data_4.txt, not there" in caplog.text


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 21, 34])
def test_a_movie_is_known_across_blocks(dataset, of_prize, met, monkeypatch, size):
    whole = met(dataset("netflix", path=str(of_prize)).load(of_prize / "out"))
    monkeypatch.setattr(prize, "BLOCK", size)
    tables = dataset("netflix", path=str(of_prize)).load(of_prize / "out")
    assert met(tables).equals(whole)


def test_windows_line_ends_and_a_mark_of_utf8(dataset, of_prize, met):
    whole = met(dataset("netflix", path=str(of_prize)).load(of_prize / "out"))
    for file in of_prize.glob("*.*"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    tables = dataset("netflix", path=str(of_prize)).load(of_prize / "out")
    assert met(tables).equals(whole) and tables.items["item_id"].to_list() == ["1", "2", "3"]


def test_low_ratings_can_be_left_out(dataset, of_prize, met):
    tables = dataset("netflix", path=str(of_prize), min_rating=4).load(of_prize / "out")
    assert met(tables).height == 3 and tables.dropped["below_min_rating"] == 2


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("8,5", "field row, value '8,5': not the 3 fields user,rating,YYYY-MM-DD, and no 'movie:'"),
        ("", "field row, value '': not the 3 fields"),
        ("8,5,2005-09-06,9", "field row, .*: not the 3 fields"),
        (",5,2005-09-06", "field user_id, value '': empty"),
        ("8,good,2005-09-06", "field rating, value 'good': not a number"),
        ("8,inf,2005-09-06", "field rating, value 'inf': not a number"),
        ("8,5,06/09/2005", "field date, value '06/09/2005': not a day YYYY-MM-DD"),
        ("8,5,2005-02-30", "field date, value '2005-02-30': not a day"),
        ("8,5,", "field date, value '': not a day"),
    ],
)
def test_bad_ratings(dataset, of_prize, met, row, fault):
    (of_prize / "combined_data_3.txt").write_text(f"3:\n9,4,2000-01-01\n{row}\n7,1,2000-01-01\n")
    with pytest.raises(Refusal, match=rf"combined_data_3\.txt, line 3: {fault}") as refusal:
        met(dataset("netflix", path=str(of_prize)).load(of_prize / "out"))
    assert "dataset.max_bad_rows=1" in refusal.value.do
    tables = dataset("netflix", path=str(of_prize), max_bad_rows=1).load(of_prize / "out")
    assert met(tables).height == 5 and tables.dropped["bad_rows"] == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("9,4,2000-01-01\n", "line 1: field movie, value '9,4,2000-01-01': no line 'movie:'"),
        ("3:\n9,4,2000-01-01\n:\n9,4,2000-01-01\n", "line 4: field movie, .* no line 'movie:'"),
        ("4:\n9,4,2000-01-01\n", "line 2: field item, value '4': the item has no title in .*csv"),
    ],
)
def test_bad_headings(dataset, of_prize, met, text, fault):
    """A movie of one file is none of the next."""
    (of_prize / "combined_data_3.txt").write_text(text)
    with pytest.raises(Refusal, match=rf"combined_data_3\.txt, {fault}"):
        met(dataset("netflix", path=str(of_prize)).load(of_prize / "out"))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("4,2003", "field row, value '4,2003': not the 3 fields id,year,title"),
        (",2003,A", "field item_id, value '': empty"),
        ("4,soon,A", "field year, value 'soon': neither a year nor NULL"),
        ("4,2003,", "field title of item, value '4': the title is empty"),
        ("1,2003,Other", "field item, value '1' with title 'Other'"),
    ],
)
def test_bad_titles(dataset, of_prize, row, fault):
    with (of_prize / "movie_titles.csv").open("a") as file:
        file.write(row)
    with pytest.raises(Refusal, match=rf"movie_titles\.csv, line 4: {fault}"):
        dataset("netflix", path=str(of_prize)).load(of_prize / "out")


def test_bytes_that_are_not_the_encoding(dataset, of_prize):
    netflix = dataset("netflix", path=str(of_prize), encoding="utf-8")
    with pytest.raises(
        Refusal, match=r"movie_titles\.csv, line 2: byte 11 of the line, value 0xe9"
    ):
        netflix.load(of_prize / "out")
    with pytest.raises(ValidationError, match="no encoding 'utf9'"):
        dataset("netflix", encoding="utf9")


def test_lists_of_the_subset(dataset, of_lists, met):
    tables = dataset("netflix", path=str(of_lists)).load(of_lists / "out")
    assert tables.items["item_id"].to_list() == ["0", "1", "2", "3"]
    assert tables.items["title"].to_list() == ["Plain", 'Comma, "quoted"', "Café", "No, no quotes"]
    assert tables.items["year"].to_list() == [1994, 2003, None, None]
    frame = met(tables)
    assert frame.schema == INTERACTIONS
    whole = frame.group_by("user_id", maintain_order=True).agg("item_id", "timestamp").rows()
    assert whole == [  # train, then val, then test: leave-one-out finds theirs at the end
        ("1", ["2", "0", "1"], [0, 1, 2]),
        ("0", ["1", "2", "3", "0"], [0, 1, 2, 3]),
        ("7", ["3"], [0]),
        ("8", ["2"], [0]),
    ]
    assert tables.dropped == {"bad_rows": 0}


def test_train_alone_will_do_and_must_be_there(dataset, of_lists, met, caplog):
    (of_lists / "val.json").unlink()
    (of_lists / "test.json").unlink()
    assert met(dataset("netflix", path=str(of_lists)).load(of_lists / "out")).height == 5
    assert "without val.json, test.json, not there" in caplog.text
    (of_lists / "train.json").rename(of_lists / "val.json")
    with pytest.raises(Refusal, match=r"train\.json: no such file") as refusal:
        dataset("netflix", path=str(of_lists)).content()
    assert "github.com/HKUDS/LLMRec" in refusal.value.allowed


def test_posters_that_are_there_are_kept(dataset, of_lists):
    (of_lists / "images").mkdir()
    (of_lists / "images" / "2.jpg").write_bytes(b"kept")
    netflix = dataset("netflix", path=str(of_lists))
    assert netflix.has_pictures and list(netflix.content()["pictures"]) == ["2"]
    items = netflix.load(of_lists / "out").items
    assert items["picture"].to_list() == [None, None, "pictures/2.jpg", None]


def test_a_number_is_a_row_or_an_id_and_never_guessed(dataset, of_lists, met):
    (of_lists / "item_attribute.csv").write_text("3,2000,A\n2,2001,B\n1,2002,C\n0,2003,D\n")
    with pytest.raises(Refusal, match=r"csv, line 1: field id, value '3': not 0, its row") as told:
        dataset("netflix", path=str(of_lists)).load(of_lists / "out")
    assert told.value.do == "type dataset.numbers=row"
    for numbers, titles in {"row": list("ABCD"), "id": list("DCBA")}.items():
        tables = dataset("netflix", path=str(of_lists), numbers=numbers).load(of_lists / "out")
        assert tables.items.sort("item_id")["title"].to_list() == titles
        assert met(tables)["item_id"].to_list()[:2] == ["2", "0"]


def test_an_item_of_a_list_without_a_title(dataset, of_lists, met):
    (of_lists / "val.json").write_text('{"0": [0], "7": [3, 9, 8]}')
    fault = r"val\.json, users as lines, line 2: field item, value '9': the item has no title in"
    with pytest.raises(Refusal, match=fault):
        dataset("netflix", path=str(of_lists)).load(of_lists / "out")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"1": [2, 0', r"cannot be read as JSON \(.*line 1"),
        ("[1, 2]", r"the whole, value \[1, 2\]: not an object"),
        ('{"1": 2}', "user '1', value 2: not a list"),
        ('{"1": {"2": 3}}', "user '1', value .*: not a list"),
        ('{"1": [2, 0.5]}', "user '1', item 2 of the list, value 0.5: not an id"),
        ('{"1": [true]}', "user '1', item 1 of the list, value True: not an id"),
        ('{"1": [null]}', "user '1', item 1 of the list, value None: not an id"),
        ('{"1": [" "]}', "user '1', item 1 of the list, value ' ': not an id"),
        ('{"": [2]}', "user 1, value '': empty"),
        ('{"1": [2], "1": [0]}', "user 2, value '1': stands there twice"),
        ('{"\\ud800": [2]}', "an id, value .*: not text"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("\xe9", "cannot be read as JSON"),
    ],
)
def test_bad_lists(dataset, of_lists, text, fault):
    (of_lists / "train.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(Refusal, match=rf"train\.json: {fault}") as refusal:
        dataset("netflix", path=str(of_lists), max_bad_rows=9).load(of_lists / "out")
    assert "an object {user id: [item id" in refusal.value.allowed


def test_no_ratings_in_the_subset(dataset, of_lists):
    with pytest.raises(Refusal, match=r"dataset\.min_rating=3: there are no ratings") as refusal:
        dataset("netflix", path=str(of_lists), min_rating=3).content()
    assert refusal.value.do == "type dataset.min_rating=null"


def test_lists_have_no_times(dataset, of_lists):
    assert not dataset("netflix", path=str(of_lists)).has_times
    assert not dataset("netflix", path=None, variant="multimodal").has_times
    assert dataset("netflix", path=None).has_times
    (of_lists / "train.json").unlink()
    assert dataset("netflix", path=str(of_lists)).has_times


def test_the_published_row_is_an_experiment():
    made = compose_typed("experiment=netflix", "stage=grpo")
    assert (made.dataset_name, made.dataset.min_interactions) == ("netflix", 5)
    assert made.stages["prepare"].history_length == 4
    sft, grpo = made.stages["sft"], made.stages["grpo"]
    assert (sft.cot_prob, sft.epochs, sft.lora.alpha) == (0.1, 3, 16)
    assert (grpo.cot_prob, grpo.epochs, grpo.beta, grpo.lora.alpha) == (0.05, 2, 0.2, 32)


def test_nothing_there_says_what_each_needs_and_where_to_get_it(dataset, tmp_path):
    with pytest.raises(Refusal, match="no file of Netflix in it") as refusal:
        dataset("netflix", path=str(tmp_path)).content()
    told = str(refusal.value)
    assert "combined_data_1.txt (to _4.txt) and movie_titles.csv of kaggle.com/" in told
    assert "train.json (val.json, test.json) and item_attribute.csv of github.com/" in told
    assert "type dataset.path=DIR" in refusal.value.do


def test_files_of_both(dataset, of_prize):
    (of_prize / "train.json").write_text("{}")
    with pytest.raises(Refusal, match="files of both prize and multimodal") as refusal:
        dataset("netflix", path=str(of_prize)).content()
    assert refusal.value.do == "type dataset.variant=prize"
    dataset("netflix", path=str(of_prize), variant="prize").content()


@pytest.mark.parametrize("gone", ["movie_titles.csv", "combined_data_1.txt"])
def test_a_missing_file(dataset, of_prize, gone):
    (of_prize / "combined_data_3.txt").unlink()
    (of_prize / gone).unlink()
    with pytest.raises(Refusal, match=rf"{gone}: no such file") as refusal:
        dataset("netflix", path=str(of_prize)).content()
    assert "kaggle.com/datasets/netflix-inc/netflix-prize-data" in refusal.value.allowed


def test_the_files_are_what_it_is(dataset, of_prize):
    auto, named = (dataset("netflix", path=str(of_prize), variant=v) for v in ("auto", "prize"))
    assert auto.knobs() == named.knobs()
    before = auto.knobs()
    (of_prize / "combined_data_3.txt").rename(of_prize / "combined_data_4.txt")
    assert auto.knobs() != before


PIECES = st.sampled_from(
    [
        *(b",", b":", b"\n", b"\r\n", b"\r", b'"', b"1", b"3:\n", b"-", b" ", b"nan", b"NULL"),
        *(b"9" * 25, b"\xe9", b"\xef\xbb\xbf", b"\xf0\x9f", b"\x00", b"2005-09-06"),
        *(b"8,5,2005-09-06\n", b"1,2003,A\n", b"4,NULL,B, C\n", b"99999-01-01"),
        *(b"{", b"}", b"[", b"]", b'{"1": [0, 1]}', b'"\\ud800"', b"0.5", b"1e999", b"-1"),
    ]
)
BYTES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=14).map(b"".join))


def check_broken(netflix, file, content, met):
    """Records that are whole, or a refusal that names the folder; never another exception."""
    file.write_bytes(content)
    try:
        tables = netflix.load(file.parent / "out")
        frame = met(tables)
    except Refusal as refusal:
        assert str(file.parent) in refusal.wrong and refusal.do
        return
    assert frame.schema == INTERACTIONS and frame.null_count().sum_horizontal().item() == 0
    assert frame["item_id"].is_in(tables.items["item_id"].implode()).all()


whatever = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@whatever
@given(
    name=st.sampled_from(["combined_data_1.txt", "combined_data_3.txt", "movie_titles.csv"]),
    before=st.booleans(),
    broken=BYTES,
    size=st.sampled_from([1, 5, 33, 1 << 20]),
    allowed=st.sampled_from([0, 3, 99]),
)
def test_whatever_the_bytes_of_the_prize(
    dataset, of_prize, monkeypatch, met, name, before, broken, size, allowed
):
    """Also cut anywhere, and behind a good beginning."""
    monkeypatch.setattr(prize, "BLOCK", size)
    good = {"combined_data_1.txt": FIRST, "combined_data_3.txt": SECOND}
    good["movie_titles.csv"] = "".join(movie + "\n" for movie in MOVIES)
    for file, text in good.items():
        (of_prize / file).write_bytes(text.encode("latin-1"))
    netflix = dataset("netflix", path=str(of_prize), variant="prize", max_bad_rows=allowed)
    content = good[name].encode("latin-1") * before + broken
    check_broken(netflix, of_prize / name, content, met)


@whatever
@given(
    name=st.sampled_from(["train.json", "test.json", "item_attribute.csv"]),
    broken=BYTES,
    allowed=st.sampled_from([0, 3, 99]),
)
def test_whatever_the_bytes_of_the_subset(dataset, of_lists, met, name, broken, allowed):
    kept = (of_lists / name).read_bytes()
    netflix = dataset("netflix", path=str(of_lists), variant="multimodal", max_bad_rows=allowed)
    check_broken(netflix, of_lists / name, broken, met)
    (of_lists / name).write_bytes(kept)


def test_all_columns_are_there(dataset, of_lists):
    items = dataset("netflix", path=str(of_lists)).load(of_lists / "out").items
    assert items.schema == ITEMS and items["genres"].list.len().sum() == 0
    assert items.select(pl.col("picture").null_count()).item() == 4
