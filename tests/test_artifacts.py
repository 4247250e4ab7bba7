"""The store: canonical identities, atomic publishing, damage told apart from health."""

import hashlib
import json
import os

import pytest

from mllmrec import artifacts
from mllmrec.artifacts import Store, digest, folder_files, partial_of, publish, write_json
from mllmrec.errors import Refusal


@pytest.fixture
def store(tmp_path):
    return Store(root=tmp_path / "store")


def published(store, id="a" * 16, stage="sft", text="weights"):
    folder = store.folder("toy", stage, id)
    partial = partial_of(folder)
    (partial / "below").mkdir(parents=True)
    (partial / "below" / "file.txt").write_text(text)
    return publish(partial, folder, {"label": stage, "metrics": {}})


def test_a_digest_is_canonical():
    """The order of keys and the sort of sequence say nothing; every value does."""
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": (1, 2), "a": 1})
    text = '{"a":1,"b":"\\u00e9"}'
    assert digest({"b": "é", "a": 1}) == hashlib.sha256(text.encode()).hexdigest()[:16]
    values = ({"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": None}, {"b": 1}, {"a": [1]})
    assert len({digest(value) for value in values}) == len(values)


def test_publishing_writes_the_manifest_last_and_renames_once(store, monkeypatch):
    seen = []

    def spy(path, value):
        seen.append(sorted(p.name for p in path.parent.rglob("*") if p.is_file()))
        write_json(path, value)
        seen.append(store.find("toy", "sft", "a" * 16))

    monkeypatch.setattr(artifacts, "write_json", spy)
    artifact = published(store)
    assert seen == [["file.txt"], None]  # all else was there, and nothing was published yet
    assert not partial_of(artifact.folder).exists()
    assert store.find("toy", "sft", "a" * 16) == artifact
    sha = hashlib.sha256(b"weights").hexdigest()
    assert artifact.manifest["files"] == {"below/file.txt": {"bytes": 7, "sha256": sha}}
    assert artifact.size == 7


def test_a_folder_without_a_manifest_is_no_artifact(store):
    store.folder("toy", "sft", "b" * 16).mkdir(parents=True)
    partial = store.folder("toy", "sft", ".partial-" + "c" * 16)
    partial.mkdir()
    (partial / "manifest.json").write_text("{}")
    assert list(store) == [] and store.siblings("toy", "sft") == []
    assert store.find("toy", "sft", "b" * 16) is None
    assert store.partials() == [partial]


def test_a_new_build_replaces_the_old_one_whole(store):
    published(store, text="old, and longer")
    artifact = published(store, text="new")
    artifact.verify(thorough=True)
    assert (artifact.folder / "below" / "file.txt").read_text() == "new"
    assert [p.name for p in artifact.folder.parent.iterdir()] == [artifact.id]


def test_a_kill_between_the_two_renames_loses_nothing(store, monkeypatch):
    artifact = published(store, text="old")
    partial = partial_of(artifact.folder)
    partial.mkdir()
    (partial / "file.txt").write_text("new")
    write_json(partial / "manifest.json", {"files": folder_files(partial)})
    artifact.folder.rename(artifact.folder.with_name(f".old-{artifact.id}"))  # killed here
    again = artifacts.put_in_place(partial, artifact.folder)
    again.verify(thorough=True)
    assert (again.folder / "file.txt").read_text() == "new"
    assert [p.name for p in again.folder.parent.iterdir()] == [artifact.id]


@pytest.mark.parametrize(
    ("harm", "thorough", "said"),
    [
        (lambda file: file.write_text("weight"), False, "has 6 bytes, not 7"),
        (lambda file: file.unlink(), False, "below/file.txt is missing"),
        (lambda file: file.write_text("weighty"), True, "the content of below/file.txt has"),
    ],
)
def test_damage_is_refused_with_the_command_that_mends_it(store, harm, thorough, said):
    artifact = published(store)
    harm(artifact.folder / "below" / "file.txt")
    with pytest.raises(Refusal, match=said) as refusal:
        artifact.verify(thorough=thorough)
    assert str(artifact.folder) in refusal.value.wrong
    assert refusal.value.do == "type force=[sft] to build it again"


def test_a_damaged_manifest_is_refused(store):
    artifact = published(store)
    assert artifact.is_readable
    (artifact.folder / "manifest.json").write_text('{"files": {')
    again = store.find("toy", "sft", artifact.id)
    assert not again.is_readable
    with pytest.raises(Refusal, match=r"manifest\.json cannot be read") as refusal:
        again.verify(thorough=False)
    assert "force=[sft]" in refusal.value.do


def test_json_is_old_or_new_but_never_halved(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": 2, "b": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_store_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Refusal, match="cannot be written") as refusal:
            Store(root=root).make_writable()
        assert f"artifacts={root}" in refusal.value.wrong and "artifacts=DIR" in refusal.value.do
    Store(root=tmp_path / "new").make_writable()
    assert list((tmp_path / "new").iterdir()) == []


def test_siblings_are_newest_first(store):
    for age, id in enumerate(("a" * 16, "b" * 16, "c" * 16)):
        manifest = published(store, id=id).folder / "manifest.json"
        os.utime(manifest, (1000 - age, 1000 - age))
    assert [a.id[0] for a in store.siblings("toy", "sft")] == ["a", "b", "c"]
    assert {a.stage for a in store} == {"sft"}


def test_times_are_in_the_manifest_and_no_file_of_the_artifact(store):
    """They lie in the scratch, so a killed build has them, and bytes of files repeat."""
    folder = store.folder("toy", "sft", "b" * 16)
    partial = partial_of(folder)
    artifacts.write_times(partial / artifacts.SCRATCH, {"step": [1], "cpu_seconds": [0.5]})
    made = publish(partial, folder, {"label": "sft", "metrics": {}})
    assert made.manifest["times"] == {"step": [1], "cpu_seconds": [0.5]}
    assert made.manifest["files"] == {} and not (made.folder / artifacts.SCRATCH).exists()
