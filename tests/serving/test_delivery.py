"""Copies: in one rename, repeated without harm, and never over what is not ours."""

import pytest

from mllmrec.errors import Refusal
from mllmrec.serving.delivery import deliver

STAMP = "mllmrec.json"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "artifact"
    folder.mkdir()
    for name in (STAMP, "model.safetensors", "manifest.json"):
        (folder / name).write_text(name)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_copied_without_its_manifest_and_again_is_nothing(source, tmp_path):
    to = tmp_path / "deep" / "copy"
    for _ in range(2):
        deliver("export.to", source, to, STAMP, overwrite=False)
        assert names(to) == [STAMP, "model.safetensors"]
        assert names(to.parent) == ["copy"]


def test_an_earlier_export_is_replaced_only_where_it_is_asked_for(source, tmp_path):
    to = tmp_path / "copy"
    deliver("export.to", source, to, STAMP, overwrite=False)
    (to / "notes.txt").write_text("mine")
    with pytest.raises(Refusal, match="is there already") as refusal:
        deliver("export.to", source, to, STAMP, overwrite=False)
    assert "export.overwrite=true" in refusal.value.do and (to / "notes.txt").exists()
    deliver("export.to", source, to, STAMP, overwrite=True)
    assert names(to) == [STAMP, "model.safetensors"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_export_is_never_replaced(source, tmp_path, overwrite):
    to = tmp_path / "home"
    to.mkdir()
    deliver("export.to", source, to, STAMP, overwrite=False)  # an empty folder is free
    for path in to.iterdir():
        path.unlink()
    (to / "thesis.tex").write_text("mine")
    with pytest.raises(Refusal, match="is not an earlier export"):
        deliver("export.to", source, to, STAMP, overwrite=overwrite)
    assert names(to) == ["thesis.tex"]
    link = tmp_path / "link"
    link.symlink_to(source)
    with pytest.raises(Refusal, match="is not an earlier export"):
        deliver("export.to", source / "..", link, STAMP, overwrite=overwrite)


def test_what_a_killed_copy_left_is_cleared_away(source, tmp_path):
    to = tmp_path / "copy"
    (tmp_path / ".partial-copy").mkdir()
    (tmp_path / ".partial-copy" / "half").write_text("x")
    deliver("export.to", source, to, STAMP, overwrite=False)
    assert names(to) == [STAMP, "model.safetensors"]
    assert not (tmp_path / ".partial-copy").exists()


def test_a_file_is_replaced_only_where_it_is_asked_for(source, tmp_path):
    to = tmp_path / "lists.csv"
    deliver("recommend.out", source / STAMP, to, None, overwrite=False)
    deliver("recommend.out", source / STAMP, to, None, overwrite=False)
    with pytest.raises(Refusal, match="is there already"):
        deliver("recommend.out", source / "manifest.json", to, None, overwrite=False)
    assert to.read_text() == STAMP
    deliver("recommend.out", source / "manifest.json", to, None, overwrite=True)
    assert to.read_text() == "manifest.json"
    with pytest.raises(Refusal, match="is not a file"):
        deliver("recommend.out", source / STAMP, tmp_path, None, overwrite=True)
