"""A backbone from outside: identified by content where it is a folder, by revision on a hub."""

import shutil
import sys
from types import SimpleNamespace

import pytest

from mllmrec.errors import Refusal
from mllmrec.stage.pretrain import backbone_of
from tests.launching import config, ids


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text("{}")
    return made


def backbone(path, **more):
    words = [f"backbone.{name}={value}" for name, value in more.items()]
    return config("stage=sft", "backbone=qwen3_0_6b", f"backbone.path={path}", *words).backbone


def test_a_folder_is_identified_by_its_content_not_by_its_place(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    here, there = backbone(folder), backbone(tmp_path / "copy", revision="v1", hub="modelscope")
    assert here.knobs() == there.knobs()
    assert str(folder) not in str(here.knobs())
    (tmp_path / "copy" / "config.json").write_text("{ }")
    fresh = there.model_copy()
    fresh.__dict__.pop("content", None)
    assert fresh.knobs() != here.knobs()


def test_a_name_is_identified_by_revision():
    knobs = backbone("Qwen/Qwen3-0.6B", revision="v1").knobs()
    assert (knobs["path"], knobs["revision"]) == ("Qwen/Qwen3-0.6B", "v1")
    assert knobs != backbone("Qwen/Qwen3-0.6B", revision="v2").knobs()


def test_nothing_is_pretrained(folder):
    words = ("stage=sft", "backbone=qwen3_0_6b", f"backbone.path={folder}")
    assert list(ids(*words, "prompt.captions=false", "cot_prob=0")) == ["prepare", "sft"]
    assert backbone_of(config(*words)) == {}


def test_a_folder_is_taken_as_it_is(folder):
    assert backbone(folder).fetch() == folder


@pytest.mark.parametrize("path", ["/no/such/folder", "./nor/this"])
def test_a_folder_that_is_not_there_is_not_asked_of_a_hub(path):
    with pytest.raises(Refusal, match="no such folder") as refusal:
        backbone(path).fetch()
    assert refusal.value.do == "type backbone.path=DIR"


def test_a_hub_that_cannot_be_reached_is_refused_with_the_ways_out(monkeypatch):
    def fail(name, **_):
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=fail))
    with pytest.raises(Refusal, match=r"huggingface gave none \(no route\)") as refusal:
        backbone("Qwen/Qwen3-0.6B").fetch()
    assert "backbone.path=DIR" in refusal.value.do and "hub=modelscope" in refusal.value.do


def test_a_hub_is_asked_for_safetensors_alone(monkeypatch, tmp_path):
    asked = {}

    def download(name, **more):
        asked.update(more, name=name)
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "modelscope", SimpleNamespace(snapshot_download=download))
    found = backbone("Qwen/Qwen3-0.6B", hub="modelscope", revision="v1").fetch()
    assert found == tmp_path and (asked["name"], asked["revision"]) == ("Qwen/Qwen3-0.6B", "v1")
    assert "*.safetensors" in asked["allow_patterns"]
    assert not any("bin" in p or "pt" in p for p in asked["allow_patterns"])


def test_a_hub_whose_client_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope", None)  # what an absent module raises on import
    with pytest.raises(Refusal, match="modelscope is not installed") as refusal:
        backbone("Qwen/Qwen3-0.6B", hub="modelscope").fetch()
    assert "pip install 'mllmrec[modelscope]'" in refusal.value.do
    assert "hub=modelscope" not in refusal.value.do
