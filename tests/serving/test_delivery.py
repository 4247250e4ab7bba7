"""Copies: in one rename, repeated without harm, and never over what is not ours."""

import json
import shutil
from pathlib import Path

import pytest

from mllmrec.errors import Refusal
from mllmrec.serving import delivery, told
from mllmrec.serving.delivery import deliver
from mllmrec.stage.export import EXPORT

STAMP = "mllmrec.json"
CSV = "id,place,item_id,title,score\n1,1,7,Seven,3.0\n"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "artifact"
    folder.mkdir()
    for name in ("model.safetensors", "manifest.json"):
        (folder / name).write_text(name)
    (folder / STAMP).write_text(json.dumps({"files": ["model.safetensors", "old.txt"]}))
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def export(source, to, overwrite=False):
    deliver("export.to", source, to, EXPORT, overwrite=overwrite)


def test_a_folder_is_copied_without_its_manifest_and_again_is_nothing(source, tmp_path):
    to = tmp_path / "deep" / "copy"
    for _ in range(2):
        export(source, to)
        assert names(to) == [STAMP, "model.safetensors"]
        assert names(to.parent) == ["copy"]


def test_an_earlier_export_is_replaced_only_where_it_is_asked_for(source, tmp_path):
    to = tmp_path / "copy"
    export(source, to)
    (to / "old.txt").write_text("of an export that wrote more")
    with pytest.raises(Refusal, match="is there already") as refusal:
        export(source, to)
    assert "export.overwrite=true" in refusal.value.do and (to / "old.txt").exists()
    export(source, to, overwrite=True)
    assert names(to) == [STAMP, "model.safetensors"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_the_users_within_an_export_keep_it_from_being_replaced(
    source, tmp_path, overwrite
):
    to = tmp_path / "copy"
    export(source, to)
    (to / ".git").mkdir()
    (to / ".git" / "HEAD").write_text("mine")
    (to / "notes.txt").symlink_to(source / "nowhere")
    with pytest.raises(Refusal, match=r"with \.git/HEAD, notes\.txt of your own") as refusal:
        export(source, to, overwrite)
    assert refusal.value.do.startswith("move them elsewhere")
    assert names(to) == [".git", STAMP, "model.safetensors", "notes.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_export_is_never_replaced(source, tmp_path, overwrite):
    to = tmp_path / "home"
    to.mkdir()
    export(source, to)  # an empty folder is free
    for path in to.iterdir():
        path.unlink()
    (to / "thesis.tex").write_text("mine")
    with pytest.raises(Refusal, match="is not an earlier export"):
        export(source, to, overwrite)
    assert names(to) == ["thesis.tex"]
    (to / STAMP).write_text("half a st")
    with pytest.raises(Refusal, match="is not an earlier export"):
        export(source, to, overwrite)
    link = tmp_path / "link"
    link.symlink_to(source)
    with pytest.raises(Refusal, match="is not an earlier export"):
        export(source / "..", link, overwrite)


def test_a_neighbour_of_the_users_is_left_alone(source, tmp_path):
    for name in (".partial-copy", ".old-copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("mine")
    to = tmp_path / "copy"
    export(source, to)
    (source / "model.safetensors").write_text("newer")
    export(source, to, overwrite=True)
    assert names(tmp_path) == [".old-copy", ".partial-copy", "artifact", "copy"]


def copies(folder):
    """What the models of all copies say, of those that are half done as well."""
    return sorted((p / "model.safetensors").read_text() for p in folder.glob("*copy*"))


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_at_any_point_loses_neither_copy(source, tmp_path, monkeypatch, renames):
    """Killed before the first rename, between the two, and before the old one is discarded."""
    to = tmp_path / "copy"
    export(source, to)
    (source / "model.safetensors").write_text("newer")
    rename, copytree, done, seen = Path.rename, shutil.copytree, [], []

    def until_killed(path, other):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(path)
        return rename(path, other)

    def unless_killed(path):
        if len(done) == 2:
            raise KeyboardInterrupt

    def copied(*given, **more):
        seen.extend(copies(tmp_path))
        return copytree(*given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", until_killed)
        patched.setattr(delivery, "discard", unless_killed)
        with pytest.raises(KeyboardInterrupt):
            export(source, to, overwrite=True)
    assert copies(tmp_path) == ["model.safetensors", "newer"]
    monkeypatch.setattr(shutil, "copytree", copied)
    export(source, to, overwrite=True)
    assert seen == ["model.safetensors"] * (renames < 2)  # there while the new one was copied
    assert copies(tmp_path) == ["newer"] and names(tmp_path) == ["artifact", "copy"]


def recommend(source, to, overwrite=False):
    deliver("recommend.out", source, to, told.LISTS, overwrite=overwrite)


def test_a_file_is_replaced_only_where_it_is_asked_for(tmp_path):
    one, other, to = tmp_path / "one.csv", tmp_path / "other.csv", tmp_path / "lists.csv"
    one.write_text(CSV)
    other.write_text(CSV + "1,2,8,Eight,2.0\n")
    recommend(one, to)
    recommend(one, to)
    with pytest.raises(Refusal, match="is there already") as refusal:
        recommend(other, to)
    assert "recommend.overwrite=true" in refusal.value.do and to.read_text() == CSV
    recommend(other, to, overwrite=True)
    assert to.read_text() == other.read_text() and len(names(tmp_path)) == 3
    with pytest.raises(Refusal, match="is not an earlier file of lists"):
        recommend(one, tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("asked.csv", "id,user,history\n1,,7|8\n"),  # what one asked with
        ("asked.jsonl", '{"id": "1", "history": ["7"]}\n'),
        ("list.jsonl", "[1]\n"),
        ("thesis.jsonl", "It was\n"),
        ("picture.csv", b"\xff\xd8\xff"),
        ("table.parquet", b"PAR1"),
        ("empty.csv", ""),
    ],
)
def test_a_file_that_holds_no_lists_is_never_replaced(tmp_path, name, content):
    source, to = tmp_path / f"source{Path(name).suffix}", tmp_path / name
    source.write_text(CSV)
    to.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = to.read_bytes()
    with pytest.raises(Refusal, match="is not an earlier file of lists"):
        recommend(source, to, overwrite=True)
    assert to.read_bytes() == before
