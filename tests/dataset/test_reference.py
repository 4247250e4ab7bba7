import csv

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmrec.errors import Refusal

TITLES = ["NA", "null", "nan", 'Me, "You"', "So, what", '12" Pizza']


def test_ids_and_titles_survive(dataset, rows, met):
    tables = dataset("reference", path=str(rows)).load(rows)
    assert tables.items["item_id"].to_list() == ["007", "7", "08", "9", "10", "11"]
    assert tables.items["title"].to_list() == TITLES
    assert set(met(tables)["user_id"]) == {"01", "1", "2"}


LINE = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(titles=st.lists(LINE.map(lambda text: text + "."), min_size=1), header=st.booleans())
def test_whatever_a_csv_writer_writes_is_read_back(dataset, tmp_path, titles, header):
    ids = [f"{index:03d}" for index in range(len(titles))]
    with (tmp_path / "x_titles.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerows([("id", "title")] * header)
        out.writerows(zip(ids, titles, strict=True))
    for part in ("train", "test"):
        (tmp_path / f"{part}.tsv").write_text(f"u\t{' '.join(ids)}\n")
    items = dataset("reference", path=str(tmp_path)).load(tmp_path).items
    assert items["item_id"].to_list() == ids and items["title"].to_list() == titles


def test_a_first_line_is_no_header_when_rows_mention_it(dataset, rows):
    (rows / "tiny_titles.csv").write_text("7,Title\n8,B\n")
    for part in ("train", "test"):
        (rows / f"{part}.tsv").write_text("u\t8 7\n")
    assert dataset("reference", path=str(rows)).load(rows).items["title"].to_list() == [
        "Title",
        "B",
    ]


def test_published_test_rows_stay_and_some_users_are_for_validation(dataset, tmp_path):
    (tmp_path / "x_titles.csv").write_text("".join(f"{item},T{item}\n" for item in range(9)))
    lines = [f"u{user}\t1 2 3 {user % 5 + 4}\n" for user in range(400)]
    (tmp_path / "train.tsv").write_text("".join(lines))
    (tmp_path / "test.tsv").write_text("u1\t5 6 7\nnew\t1 2 8\n")
    told = dataset("reference", path=str(tmp_path)).load(tmp_path).rows
    assert told.filter(pl.col("part") == "test").rows() == [
        ("u1", ["5", "6", "7"], "test"),
        ("new", ["1", "2", "8"], "test"),
    ]
    assert 20 <= told.filter(pl.col("part") == "validation").height <= 60
    (tmp_path / "train.tsv").write_text("".join(lines[::2]))  # fewer users, the same fate
    again = dataset("reference", path=str(tmp_path)).load(tmp_path).rows
    assert set(again.rows_by_key("user_id")) <= set(told.rows_by_key("user_id"))
    both = again.join(told.filter(pl.col("part") != "test"), on="user_id", suffix="_2")
    assert both.filter((pl.col("part") != "test") & (pl.col("part") != pl.col("part_2"))).is_empty()


def test_a_repeated_item_stays_at_its_last_place_so_that_targets_stay(dataset, rows):
    (rows / "test.tsv").write_text("01\t7 08 7 9 08\n")
    tables = dataset("reference", path=str(rows)).load(rows)
    assert tables.rows["items"].to_list()[-1] == ["7", "9", "08"]
    assert tables.dropped["repeats"] == 2


def test_pictures_are_copied_and_enter_the_content(dataset, rows, tmp_path):
    bare = dataset("reference", path=str(rows)).content()
    (rows / "images").mkdir()
    (rows / "images" / "007.jpg").write_bytes(b"one")
    (rows / "images" / "notes.txt").write_bytes(b"two")
    reference = dataset("reference", path=str(rows))
    items = reference.load(tmp_path / "out").items
    assert items["picture"].to_list()[:2] == ["pictures/007.jpg", None]
    assert (tmp_path / "out" / "pictures" / "007.jpg").read_bytes() == b"one"
    assert list(reference.content()["pictures"]) == ["007"]
    assert reference.content() != bare


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        (
            "train.tsv",
            "1\t9 10\n5\n",
            r"train\.tsv, line 2: field row, value '5': not the 2 fields",
        ),
        ("train.tsv", "1\t9 10\n5\t \n", r"train\.tsv, line 2: field items, value '5\s+': empty"),
        ("test.tsv", "1\t9 010\n", r"test\.tsv, line 1: field item, value '010': the item has no"),
        ("tiny_titles.csv", "7,A\n8\n", r"csv, line 2: field row, value '8': not id,title"),
        ("tiny_titles.csv", '7,A\n8,"B\n', r"csv, line 2: field title, .* a quote is opened"),
        ("tiny_titles.csv", "7,A\n7,B\n", r"csv, line 2: field item, value '7' with title 'B'"),
        ("tiny_titles.csv", "7,A\n8,\n", r"csv, line 2: field title of item, value '8': .* empty"),
        ("train.tsv", "", r"train\.tsv: the file is empty"),
    ],
)
def test_bad_files(dataset, rows, file, text, told):
    (rows / file).write_text(text)
    with pytest.raises(Refusal, match=told) as refusal:
        dataset("reference", path=str(rows)).load(rows)
    assert "dataset." in refusal.value.do


def test_which_titles(dataset, rows):
    (rows / "other_titles.csv").write_text("7,A\n")
    with pytest.raises(Refusal, match="2 files of titles, of other, tiny") as told:
        dataset("reference", path=str(rows)).content()
    assert told.value.do == "dataset.name=other"
    dataset("reference", path=str(rows), name="tiny").content()
    with pytest.raises(Refusal, match=r"gone_titles\.csv: no such file"):
        dataset("reference", path=str(rows), name="gone").content()


def test_no_k_core_for_files_that_come_filtered(dataset):
    with pytest.raises(ValidationError, match="k_core"):
        dataset("reference", k_core=5)


def test_whether_there_are_pictures_is_known_before_the_path_is(dataset, rows):
    """So that a config without one composes; `content` is what refuses it."""
    for path in (None, str(rows / "gone"), str(rows)):
        assert not dataset("reference", path=path).has_pictures
    (rows / "images").mkdir()
    (rows / "images" / "007.jpg").write_bytes(b"one")
    assert dataset("reference", path=str(rows)).has_pictures


def test_ids_that_look_like_paths_read_and_write_nothing_outside(dataset, tmp_path):
    data, out = tmp_path / "data", tmp_path / "store" / "out"
    (data / "images").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (data / "images" / "1.jpg").write_bytes(b"one")
    ids = ["../../secret", "../secret", "a/b", str(tmp_path / "secret"), "..", "1"]
    (data / "x_titles.csv").write_text("".join(f"{item},Title\n" for item in ids))
    for part in ("train", "test"):
        (data / f"{part}.tsv").write_text(f"u\t{' '.join(ids)}\n")
    before = {path for path in tmp_path.rglob("*") if out not in path.parents}
    items = dataset("reference", path=str(data)).load(out).items
    assert items["item_id"].to_list() == ids
    assert items["picture"].to_list() == [None] * 5 + ["pictures/1.jpg"]
    assert {path for path in out.rglob("*") if path.is_file()} == {out / "pictures" / "1.jpg"}
    after = {path for path in tmp_path.rglob("*") if out not in path.parents}
    assert after - before <= {out.parent, out}


def test_links_are_followed_and_what_is_no_file_is_left_out_with_a_word(
    dataset, rows, tmp_path, caplog
):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "9.png").mkdir(parents=True)
    (elsewhere / "kept").write_bytes(b"kept")
    (elsewhere / "7.jpg").symlink_to(elsewhere / "kept")
    (elsewhere / "10.jpg").symlink_to(elsewhere / "gone")
    (rows / "images").symlink_to(elsewhere)
    reference = dataset("reference", path=str(rows))
    assert list(reference.content()["pictures"]) == ["7"]
    items = reference.load(tmp_path / "out").items
    assert items.filter(pl.col("picture").is_not_null())["item_id"].to_list() == ["7"]
    copy = tmp_path / "out" / "pictures" / "7.jpg"
    assert copy.read_bytes() == b"kept" and not copy.is_symlink()
    assert "10.jpg: no file" in caplog.text and "9.png: no file" in caplog.text
