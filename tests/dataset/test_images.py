import zipfile

import polars as pl
import pytest

from mllmrec.dataset.bundle import Member
from mllmrec.dataset.images import illustrated, named_in, pictures, placed


@pytest.fixture
def items():
    return pl.DataFrame({"item_id": ["1", "2", "3"], "title": ["A", "B", "C"]})


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)


def test_of_several_pictures_of_an_item_the_first_by_name_counts(tmp_path):
    put(tmp_path, **{"1_png": b"a", "1_jpg": b"b", "2_JPEG": b"c", "3_gif": b"d", "4_webp": b"e"})
    found = {item: file.name for item, file in pictures(tmp_path).items()}
    assert found == {"1": "1.jpg", "2": "2.JPEG", "4": "4.webp"}
    assert pictures(tmp_path / "gone") == {}


def test_a_folder_in_a_zip_is_a_folder(tmp_path, items):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("set/images/2.jpg", b"two")
        archive.writestr("set/images/deeper/3.jpg", b"not here")
    folder = Member(zipfile.ZipFile(tmp_path / "x.zip")) / "set" / "images"
    assert list(pictures(folder)) == ["2"]
    told = illustrated(items, folder, tmp_path / "out")
    assert told["picture"].to_list() == [None, "pictures/2.jpg", None]
    assert (tmp_path / "out" / "pictures" / "2.jpg").read_bytes() == b"two"
    assert pictures(folder.parent / "gone") == {}


def test_pictures_of_one_name_are_kept_apart_and_shared_ones_are_shared(tmp_path, items):
    put(tmp_path / "a", **{"x_jpg": b"a"})
    put(tmp_path / "b", **{"x_jpg": b"b"})
    files = {"1": tmp_path / "a" / "x.jpg", "2": tmp_path / "b" / "x.jpg"}
    files["3"] = files["1"]
    names = placed(items, files, tmp_path / "out")["picture"].to_list()
    assert names == ["pictures/x.jpg", "pictures/1_x.jpg", "pictures/x.jpg"]
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == [b"a", b"b", b"a"]


@pytest.mark.parametrize(
    "name",
    ["../secret.jpg", "/etc/hostname", "a/../../secret.jpg", "C:x.jpg", "..\\secret.jpg", ".."],
)
def test_a_name_that_leads_outside_is_no_picture(tmp_path, name):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    put(tmp_path / "data" / "a", **{"1_jpg": b"one"})
    rows = pl.DataFrame({"item_id": ["1", "2"], "picture": [name, "a/1.jpg"]})
    assert list(named_in(tmp_path / "data", rows)) == ["2"]
