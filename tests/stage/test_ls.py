"""The table of the store."""

import pytest
from rich.console import Console

from mllmrec import roots
from mllmrec.artifacts import Store, partial_of, publish
from mllmrec.stage.ls import Ls
from tests.launching import asked


@pytest.fixture
def store(tmp_path):
    return Store(root=tmp_path / "store")


def add(store, stage, id, label=None, **inputs):
    folder = store.folder("toy", stage, id)
    partial_of(folder).mkdir(parents=True)
    (partial_of(folder) / "file").write_bytes(bytes(2048))
    said = {"label": label or stage, "identity": {"inputs": inputs}, "seconds": 61.4}
    return publish(partial_of(folder), folder, {**said, "began": "2030-01-02T03:04:05+00:00"})


def row(out, id):
    lines = [line.split() for line in out.splitlines()]
    return next(words for words in lines if id in words[:4])


def test_each_artifact_its_size_its_users_and_its_runs(store, tmp_path, capsys):
    add(store, "prepare", "aaaa")
    add(store, "rank", "bbbb", label="rank random", prepare="aaaa")
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        roots.remember(store, tmp_path / name, ["aaaa"])
    Ls().execute(asked(store))
    out = capsys.readouterr().out
    first = ["toy", "prepare", "aaaa", "2.0", "KiB", "2030-01-02", "03:04", "61"]
    assert row(out, "aaaa") == [*first, "rank", "random", "bbbb", "2"]
    assert row(out, "bbbb")[:4] == ["toy", "rank", "random", "bbbb"]
    assert row(out, "bbbb")[-1] == "0"
    assert f"2 artifacts, 4.0 KiB, in {store.root}" in out.replace("\n", " ")


def test_on_a_narrow_terminal_nothing_is_cut(store, capsys, monkeypatch):
    monkeypatch.setattr("mllmrec.stage.ls.console", lambda: Console(width=80))
    add(store, "rank", "1234567890abcdef", label="rank popularity_recent")
    add(store, "evaluate", "fedcba0987654321", rank="1234567890abcdef")
    Ls().execute(asked(store))
    out = capsys.readouterr().out
    want = ["rank", "popularity_recent", "1234567890abcdef", "2.0", "KiB", "2030-01-02", "1", "0"]
    assert row(out, "1234567890abcdef") == want
    assert all(len(line) <= 80 for line in out.splitlines() if str(store.root) not in line)


def test_what_is_unfinished_or_damaged_is_said(store, capsys):
    damaged = add(store, "prepare", "aaaa")
    (damaged.folder / "manifest.json").write_text("{")
    partial_of(store.folder("toy", "sft", "cccc")).mkdir(parents=True)
    Ls().execute(asked(store))
    out = capsys.readouterr().out
    assert "0 artifacts" in out
    assert "damaged: toy/prepare/aaaa" in out
    assert "unfinished: toy/sft/.partial-cccc" in out


def test_a_store_that_does_not_exist_yet_is_empty(store, capsys):
    Ls().execute(asked(store))
    assert "0 artifacts, 0 B" in capsys.readouterr().out
    assert not store.root.exists()


def test_a_damaged_note_of_a_launch_is_passed_by(store, capsys):
    add(store, "prepare", "aaaa")
    (store.root / roots.ROOTS).mkdir()
    (store.root / roots.ROOTS / "0123.json").write_text("{")
    Ls().execute(asked(store))
    assert row(capsys.readouterr().out, "aaaa")[-1] == "1"
