"""What is removed and what stays: by run folders, by locks, and only when agreed to."""

import json
import os
import socket

import pytest

from mllmrec import locks, roots
from mllmrec.artifacts import Store, partial_of, publish
from mllmrec.errors import Refusal
from mllmrec.stage import gc
from mllmrec.stage.gc import Gc
from tests.launching import asked


@pytest.fixture
def store(tmp_path):
    return Store(root=tmp_path / "store")


def add(store, id, *, done=True):
    folder = store.folder("toy", "sft", id)
    partial = partial_of(folder)
    partial.mkdir(parents=True)
    (partial / "file").write_text("1234")
    return publish(partial, folder, {}).folder if done else partial


def hold(folder, **said):
    me = os.getpid()
    mine = {"host": socket.gethostname(), "pid": me, "start": locks.process_start(me), **said}
    id = folder.name.removeprefix(".partial-")
    folder.with_name(f".lock-{id}").write_text(json.dumps(mine))


def run_folder(tmp_path, name, store, *ids):
    folder = tmp_path / "outputs" / name
    folder.mkdir(parents=True)
    roots.remember(store, folder, ids)
    return folder


def test_a_run_folder_keeps_its_artifacts_and_deleting_it_frees_them(store, tmp_path, capsys):
    kept, shared, loose = (add(store, id) for id in ("aa", "bb", "cc"))
    first = run_folder(tmp_path, "1", store, "aa", "bb")
    run_folder(tmp_path, "2", store, "bb")
    Gc().execute(asked(store, "yes=true"))
    assert kept.exists() and shared.exists() and not loose.exists()
    assert "toy/sft/cc" in capsys.readouterr().out
    first.rmdir()
    Gc().execute(asked(store, "yes=true"))
    assert not kept.exists() and shared.exists()
    assert "removed 1 folders" in capsys.readouterr().out
    assert len(list((store.root / roots.ROOTS).iterdir())) == 1  # the note of run 1 is gone too
    Gc().execute(asked(store, "yes=true"))
    assert capsys.readouterr().out.startswith("nothing to remove")


def test_unfinished_builds_go_unless_a_run_wants_them(store, tmp_path):
    wanted, loose = (add(store, id, done=False) for id in ("aa", "bb"))
    old = store.folder("toy", "sft", ".old-cc")
    old.mkdir()
    run_folder(tmp_path, "1", store, "aa")
    Gc().execute(asked(store, "yes=true"))
    assert wanted.exists() and not loose.exists() and not old.exists()


def test_an_artifact_and_its_older_self_go_together(store):
    """Both would step aside to the same name."""
    folder = add(store, "aa")
    old = folder.with_name(".old-aa")
    old.mkdir()
    (old / "file").write_text("")
    Gc().execute(asked(store, "yes=true"))
    assert not folder.exists() and not old.exists()


def test_what_a_living_process_builds_is_never_touched(store):
    artifact, partial = add(store, "aa"), add(store, "bb", done=False)
    hold(artifact)
    hold(partial)
    Gc().execute(asked(store, "yes=true"))
    assert artifact.exists() and partial.exists()
    hold(artifact, start="1")  # the same number, another process
    hold(partial, host="elsewhere", pid=1)  # its heart beats: the file is new
    Gc().execute(asked(store, "yes=true"))
    assert not artifact.exists() and partial.exists()


def test_without_a_terminal_and_without_yes_it_is_refused(store, monkeypatch):
    folder = add(store, "aa")
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115
    with pytest.raises(Refusal, match="stage=gc would remove 1 folders") as refusal:
        Gc().execute(asked(store))
    assert refusal.value.do == "type yes=true to remove them"
    assert folder.exists()


@pytest.mark.parametrize(("answer", "there"), [("", True), ("n", True), ("Y", False)])
def test_at_a_terminal_it_asks(store, monkeypatch, answer, there):
    folder = add(store, "aa")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    Gc().execute(asked(store))
    assert folder.exists() == there


def test_a_removal_that_is_killed_leaves_no_halved_artifact(store, monkeypatch):
    folder = add(store, "aa")

    def killed(path, *_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gc.shutil, "rmtree", killed)
        Gc().execute(asked(store, "yes=true"))
    assert list(store) == [] and not folder.exists()
    Gc().execute(asked(store, "yes=true"))
    assert not folder.with_name(".old-aa").exists()


def test_an_empty_store_has_nothing_to_remove(store, capsys):
    Gc().execute(asked(store))
    assert "nothing to remove" in capsys.readouterr().out


def test_a_launch_that_begins_during_the_question_keeps_its_artifacts(
    store, tmp_path, monkeypatch, capsys
):
    wanted, loose = add(store, "aa"), add(store, "bb")

    def answer(_):
        run_folder(tmp_path, "1", store, "aa")
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)
    Gc().execute(asked(store))
    assert wanted.exists() and not loose.exists()
    assert "removed 1 folders" in capsys.readouterr().out


def test_a_run_folder_of_another_host_counts_as_alive(store, tmp_path, monkeypatch):
    """Its folder may lie on a disk that only that host sees."""
    folder = add(store, "aa")
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "elsewhere")
        run_folder(tmp_path, "1", store, "aa").rmdir()
    Gc().execute(asked(store, "yes=true"))
    assert folder.exists() and roots.users(store)["aa"]
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    Gc().execute(asked(store, "yes=true"))
    assert not folder.exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"folder": "x"}', b"\xff"])
def test_a_damaged_note_keeps_everything_and_is_told(store, caplog, text):
    folder, partial = add(store, "aa"), add(store, "bb", done=False)
    note = store.root / roots.ROOTS / "0123.json"
    note.parent.mkdir()
    note.write_bytes(text if isinstance(text, bytes) else text.encode())
    Gc().execute(asked(store, "yes=true"))
    assert folder.exists() and partial.exists() and note.exists()
    assert f"{note}: damaged" in caplog.text
    note.unlink()
    Gc().execute(asked(store, "yes=true"))
    assert not folder.exists() and not partial.exists()
