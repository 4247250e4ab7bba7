import pytest

from mllmrec.dataset.base import folder_of, present, sha256
from mllmrec.errors import Refusal


def test_identity_follows_bytes_and_not_the_place(dataset, films, tmp_path):
    before = dataset("movietweetings", path=str(films)).knobs()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("ratings.dat", "movies.dat"):
        (moved / name).write_bytes((films / name).read_bytes())
    assert dataset("movietweetings", path=str(moved)).knobs() == before
    (moved / "ratings.dat").write_bytes(b"2::003::9::30\n")
    after = dataset("movietweetings", path=str(moved)).knobs()
    assert after["content"]["ratings"] != before["content"]["ratings"]
    assert after["content"]["movies"] == before["content"]["movies"]
    assert "path" not in after and "max_bad_rows" not in after


def test_a_file_changed_in_place_is_hashed_again(tmp_path):
    file = tmp_path / "a"
    file.write_text("one")
    before = sha256(file)
    file.write_text("other")
    assert sha256(file) != before


@pytest.mark.parametrize("path", [None, "no/such/folder"])
def test_no_folder(path):
    with pytest.raises(Refusal, match=r"dataset\.path") as told:
        folder_of(path, name="reference")
    assert "dataset=reference dataset.path=DIR" in told.value.do


def test_missing_and_empty_file(tmp_path):
    with pytest.raises(Refusal, match=r"gone\.dat: no such file") as told:
        present(tmp_path / "gone.dat", layout="lines of a::b", name="x")
    assert "lines of a::b" in told.value.allowed and "dataset.path=DIR" in told.value.do
    (tmp_path / "none.dat").touch()
    with pytest.raises(Refusal, match=r"none\.dat: the file is empty"):
        present(tmp_path / "none.dat", layout="lines of a::b", name="x")
