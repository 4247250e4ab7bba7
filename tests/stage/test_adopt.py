"""What was made elsewhere: its content is its identity, and it is taken whole or not at all."""

import os
from pathlib import Path

import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.stage import adopt
from tests.launching import SMALL, ids, make


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "below").mkdir(parents=True)
    (made / "below" / "weights.json").write_text("1")
    return made


def test_the_identity_is_the_content(folder, tmp_path):
    before = adopt.identity(folder, "sft")
    assert list(before) == ["adopted"]
    moved = folder.rename(tmp_path / "elsewhere")
    assert adopt.identity(moved, "sft") == before
    (moved / "manifest.json").write_text("{}")  # of the store that it came from
    assert adopt.identity(moved, "sft") == before
    (moved / "below" / "weights.json").write_text("2")
    assert adopt.identity(moved, "sft") != before


def test_a_name_of_a_file_is_content_too(folder):
    before = adopt.identity(folder, "sft")
    (folder / "below" / "weights.json").rename(folder / "weights.json")
    assert adopt.identity(folder, "sft") != before


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_what_is_no_folder_with_files_is_refused(tmp_path, kind):
    path = tmp_path / kind
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("")
    with pytest.raises(Refusal, match=rf"merge\.adopt={path}") as refusal:
        adopt.identity(path, "merge")
    assert "merge.adopt=DIR" in refusal.value.do


def test_it_is_copied_once_it_was_found_whole(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()

    def no(path):
        assert path == folder
        raise Refusal("a", allowed="b", do="c")

    with pytest.raises(Refusal):
        adopt.take(folder, out, no)
    assert list(out.iterdir()) == []
    (folder / "manifest.json").write_text("{}")
    (folder / "below" / "manifest.json").write_text("{}")
    assert adopt.take(folder, out, lambda path: None) == {}
    there = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert there == {"below/weights.json", "below/manifest.json"}


def test_only_what_is_known_is_hashed_and_copied(folder, tmp_path):
    before = adopt.identity(folder, "sft")
    (folder / "train.py").write_text("")
    (folder / "optimizer.pt").write_text("")
    assert adopt.identity(folder, "sft") == before
    (tmp_path / "out").mkdir()
    adopt.take(folder, tmp_path / "out", lambda path: None)
    assert [p.name for p in (tmp_path / "out").rglob("*.*")] == ["weights.json"]


def test_a_link_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere.json").write_text("{}")
    (folder / "config.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(Refusal, match=r"config\.json: is a link") as refusal:
        adopt.identity(folder, "sft")
    assert "cp -rL" in refusal.value.do


def test_the_folder_of_a_user_is_found(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    short = Path("~") / folder.name
    assert adopt.identity(short, "sft") == adopt.identity(folder, "sft")
    (tmp_path / "out").mkdir()
    adopt.take(short, tmp_path / "out", lambda path: None)
    assert (tmp_path / "out/below/weights.json").exists()


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_folder_that_changes_after_the_plan_is_refused(folder, tmp_path, when):
    (tmp_path / "out").mkdir()
    adopt.identity(folder, "sft")

    def change(path=None):
        (folder / "below" / "weights.json").write_text("3")

    if when == "before":
        change()
    with pytest.raises(Refusal, match="has changed while it was taken"):
        adopt.take(folder, tmp_path / "out", change if when == "during" else lambda path: None)


def test_a_large_folder_is_read_once(folder, monkeypatch):
    file = folder / "below" / "weights.json"
    os.utime(file, (1e9, 1e9))  # long ago
    before = adopt.identity(folder, "sft")
    with monkeypatch.context() as patch:
        patch.setattr(adopt, "file_digest", lambda path: pytest.fail("read again"))
        assert adopt.identity(folder, "sft") == before
    file.write_text("2")
    assert adopt.identity(folder, "sft") != before


def test_an_adapter_and_a_model_replace_their_stages(folder):
    goal = ("stage=grpo", "prompt.captions=false", "cot_prob=0.0")
    usual, adopted = ids(*goal), ids(*goal, f"merge.adopt={folder}")
    assert set(usual) == {"prepare", "pretrain", "sft", "merge", "grpo"}
    assert set(adopted) == {"prepare", "merge", "grpo"}
    assert adopted["merge"] != usual["merge"] and adopted["grpo"] != usual["grpo"]
    assert adopted == ids(*goal, f"merge.adopt={folder}", "sft.learning_rate=1e-5")


@pytest.mark.slow  # it loads torch, transformers and peft
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (None, b"", "adapter_config.json is missing"),
        ("adapter_config.json", b"{}", "adapter_model.safetensors is missing"),
        ("adapter_model.safetensors", b"\x40\x00\x00\x00\x00\x00\x00\x00{", "damaged"),
        ("adapter_model.safetensors", b"", "damaged"),
        ("adapter_model.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00{}", "holds no weights"),
    ],
)
def test_a_damaged_adapter_is_refused(tmp_path, name, content, said):
    folder, store = tmp_path / "adapter", Store(root=tmp_path / "store")
    folder.mkdir()
    (folder / "note.txt").write_text("")
    if name == "adapter_model.safetensors":
        (folder / "adapter_config.json").write_text("{}")
    if name:
        (folder / name).write_bytes(content)
    with pytest.raises(Refusal, match=said) as refusal:
        make(store, "stage=sft", f"sft.adopt={folder}", *SMALL)
    assert "sft.adopt=DIR" in refusal.value.do
    assert [a.stage for a in store if a.stage == "sft"] == []
