"""What was made elsewhere: its content is its identity, and it is taken whole or not at all."""

import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.stage import adopt
from tests.launching import SMALL, ids, make


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "below").mkdir(parents=True)
    (made / "below" / "weights").write_text("1")
    return made


def test_the_identity_is_the_content(folder, tmp_path):
    before = adopt.identity(folder, "sft")
    assert list(before) == ["adopted"]
    moved = folder.rename(tmp_path / "elsewhere")
    assert adopt.identity(moved, "sft") == before
    (moved / "manifest.json").write_text("{}")  # of the store that it came from
    assert adopt.identity(moved, "sft") == before
    (moved / "below" / "weights").write_text("2")
    assert adopt.identity(moved, "sft") != before


def test_a_name_of_a_file_is_content_too(folder):
    before = adopt.identity(folder, "sft")
    (folder / "below" / "weights").rename(folder / "weights")
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
    assert there == {"below/weights", "below/manifest.json"}


def test_an_adapter_and_a_model_replace_their_stages(folder):
    usual, adopted = ids("stage=grpo"), ids("stage=grpo", f"merge.adopt={folder}")
    assert set(usual) == {"prepare", "pretrain", "sft", "merge", "grpo"}
    assert set(adopted) == {"prepare", "merge", "grpo"}
    assert adopted["merge"] != usual["merge"] and adopted["grpo"] != usual["grpo"]
    assert adopted == ids("stage=grpo", f"merge.adopt={folder}", "sft.learning_rate=1e-5")


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
    (folder / "note").write_text("")
    if name == "adapter_model.safetensors":
        (folder / "adapter_config.json").write_text("{}")
    if name:
        (folder / name).write_bytes(content)
    with pytest.raises(Refusal, match=said) as refusal:
        make(store, "stage=sft", f"sft.adopt={folder}", *SMALL)
    assert "sft.adopt=DIR" in refusal.value.do
    assert [a.stage for a in store if a.stage == "sft"] == []
