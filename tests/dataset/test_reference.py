import csv
import zipfile

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmrec.errors import Refusal
from tests.launching import launch, told
from tests.mangled import SETTINGS, mangled, put, records_or_refusal

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


@pytest.fixture
def bundle(rows, tmp_path):
    """Three sets: in folders, and in a zip below one more folder, as archivers make it."""
    folder = tmp_path / "sets"
    for name in ("movielens", "microlens", "netflix"):
        (folder / name / "images").mkdir(parents=True)
        for file in ("train.tsv", "test.tsv"):
            (folder / name / file).write_bytes((rows / file).read_bytes())
        (folder / name / f"{name}_titles.csv").write_bytes((rows / "tiny_titles.csv").read_bytes())
        (folder / name / "images" / "007.jpg").write_bytes(name.encode())
        (folder / name / f"{name}_deepseek_cot.json").write_text("[]")
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"data/{file.relative_to(folder)}")
        archive.writestr("__MACOSX/data/movielens/._train.tsv", b"\0")
    return tmp_path / "data.zip", folder


def test_a_set_in_a_zip_is_that_in_its_folder(dataset, bundle, met, tmp_path):
    packed, folder = bundle
    of_zip = dataset("reference", path=str(packed), name="netflix")
    of_folder = dataset("reference", path=str(folder), name="netflix")
    alone = dataset("reference", path=str(folder / "netflix"))
    assert of_zip.content() == of_folder.content() == alone.content()
    assert of_zip.content() != dataset("reference", path=str(packed), name="movielens").content()
    assert of_zip.has_pictures
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    one, two = of_zip.load(tmp_path / "out"), alone.load(tmp_path / "out2")
    assert one.items.equals(two.items) and one.rows.equals(two.rows) and met(one).equals(met(two))
    assert (tmp_path / "out" / "pictures" / "007.jpg").read_bytes() == b"netflix"
    after = {file for file in tmp_path.rglob("*") if file.is_file()} - before
    assert after == {tmp_path / out / "pictures" / "007.jpg" for out in ("out", "out2")}


def test_which_set(dataset, bundle, tmp_path):
    for path in bundle:
        with pytest.raises(
            Refusal, match="several sets; there are microlens, movielens, netf"
        ) as told:
            dataset("reference", path=str(path)).content()
        assert told.value.do == "dataset.name=microlens"
        with pytest.raises(Refusal, match="no set gone; there are microlens"):
            dataset("reference", path=str(path), name="gone").content()
        assert not dataset("reference", path=str(path)).has_pictures
    titles = bundle[1] / "netflix" / "netflix_titles.csv"
    titles.rename(titles.with_name("other_titles.csv"))  # the only one of its folder
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        for file in sorted((bundle[1] / "netflix").rglob("*")):
            archive.write(file, str(file.relative_to(bundle[1] / "netflix")))
    alone = dataset("reference", path=str(tmp_path / "one.zip"))
    assert alone.content() == dataset("reference", path=str(bundle[1]), name="netflix").content()


def test_two_sets_of_one_name_are_not_guessed_between(dataset, bundle):
    with zipfile.ZipFile(bundle[0], "a") as archive:
        archive.writestr("more/netflix/train.tsv", "1\t7 9\n")
    with pytest.raises(Refusal, match=r"sets of one name in several folders: .*more/netflix"):
        dataset("reference", path=str(bundle[0]), name="netflix").content()


def rezipped(packed, **changes):
    """The zip with some members changed or, where they are None, left out."""
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (files | changes).items():
            if data is not None:
                archive.writestr(name, data)


@pytest.mark.parametrize(
    "name",
    ["../evil.jpg", "/evil.jpg", "data/movielens/images/../../../evil.jpg", "a//b", "a\\..\\b"],
)
def test_a_member_that_names_a_place_outside_is_refused_and_nothing_is_written(
    dataset, bundle, tmp_path, name
):
    rezipped(bundle[0], **{name: b"evil"})
    for act in (lambda one: one.content(), lambda one: one.load(tmp_path / "deep" / "out")):
        with pytest.raises(Refusal, match="names a place outside") as told:
            act(dataset("reference", path=str(bundle[0]), name="movielens"))
        assert "unzip -l" in told.value.do
    assert not list(tmp_path.rglob("*evil*"))


def test_a_zip_with_a_password_is_refused(dataset, bundle):
    data = bytearray(bundle[0].read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := data.find(mark, start + 1)) >= 0:
            data[start + flags] |= 1
    bundle[0].write_bytes(data)
    with pytest.raises(Refusal, match="wants a password"):
        dataset("reference", path=str(bundle[0]), name="movielens").content()


def test_damage_in_a_member_is_told_by_its_name(dataset, bundle, tmp_path):
    data = bytearray(bundle[0].read_bytes())
    with zipfile.ZipFile(bundle[0]) as archive:
        info = archive.getinfo("data/movielens/test.tsv")
    start = info.header_offset + 30 + len(info.filename)
    data[start : start + info.compress_size] = b"\xff" * info.compress_size
    bundle[0].write_bytes(data)
    movielens = dataset("reference", path=str(bundle[0]), name="movielens")
    for act in (movielens.content, lambda: movielens.load(tmp_path / "out")):
        with pytest.raises(Refusal, match=r"data\.zip/data/movielens/test\.tsv: cannot be read"):
            act()
    bundle[0].write_bytes(data[: len(data) // 2])
    with pytest.raises(Refusal, match=r"data\.zip: is no folder, and no zip that is whole"):
        movielens.content()


def test_a_bomb_is_refused_before_it_is_read(dataset, bundle):
    rezipped(bundle[0], **{"data/movielens/test.tsv": bytes(70_000_000)})
    with pytest.raises(Refusal, match=r"says to hold 7\d{7} bytes in \d+, more than 67108864"):
        dataset("reference", path=str(bundle[0]), name="movielens").content()


def test_members_that_are_missing_or_empty(dataset, bundle):
    rezipped(bundle[0], **{"data/movielens/test.tsv": b""})
    movielens = dataset("reference", path=str(bundle[0]), name="movielens")
    with pytest.raises(Refusal, match=r"movielens/test\.tsv: the file is empty"):
        movielens.content()
    rezipped(bundle[0], **{"data/movielens/test.tsv": None})
    with pytest.raises(Refusal, match=r"movielens/test\.tsv: no such file"):
        movielens.content()


FILES = {
    "train.tsv": b"01\t007 7 08\n1\t9 10 11\n2\t7 9 007\n",
    "test.tsv": b"01\t007 7 08 9\n",
    "tiny_titles.csv": b'item,title\n007,NA\n7,null\n08,n\n9,"Me, ""You"""\n10,So, w\n11,12" P\n',
}


@SETTINGS
@given(files=mangled(FILES))
def test_any_bytes_end_in_records_or_in_a_refusal(dataset, tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("any")
    put(folder, files)
    records_or_refusal(dataset("reference", path=str(folder), max_bad_rows=2), folder / "out")


@SETTINGS
@given(data=st.data())
def test_any_bytes_in_a_zip_end_in_records_or_in_a_refusal(dataset, bundle, tmp_path_factory, data):
    whole = {"data.zip": bundle[0].read_bytes()}
    folder = tmp_path_factory.mktemp("any")
    put(folder, data.draw(mangled(whole)))
    netflix = dataset("reference", path=str(folder / "data.zip"), name="netflix", max_bad_rows=2)
    records_or_refusal(netflix, folder / "out")


@pytest.mark.slow
def test_a_zip_is_prepared_from_the_command_line(bundle, tmp_path):
    done = launch(
        "stage=prepare",
        "dataset=reference",
        f"dataset.path={bundle[0]}",
        "dataset.name=microlens",
        "dataset.min_interactions=3",
        "prepare.min_history=1",
        "prepare.protocols=[uni1]",
        "prepare.train_protocol=uni1",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert [file.read_bytes() for file in tmp_path.glob("artifacts/*/prepare/*/pictures/*")] == [
        b"microlens"
    ]
    done = launch("stage=prepare", "dataset=reference", f"dataset.path={bundle[0]}", cwd=tmp_path)
    assert "dataset.name=microlens" in told(done)
