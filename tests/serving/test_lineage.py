"""What an artifact was made from, as manifests tell it."""

import json

from mllmrec.serving.lineage import lineage, step, trained_on


def artifact(root, stage, id, inputs, **knobs):
    folder = root / "toy" / stage / id
    folder.mkdir(parents=True)
    identity = {"inputs": inputs, "seed": 1, "knobs": knobs}
    told = {"label": stage, "stage": stage, "id": id, "identity": identity, "metrics": {"n": 1.0}}
    told |= {"versions": {"torch": "2"}, "git": None, "seconds": 3.0, "began": "now"}
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


def test_each_artifact_stands_after_what_it_stands_on_and_once(tmp_path):
    artifact(tmp_path, "prepare", "aa", {})
    artifact(tmp_path, "sft", "bb", {"prepare": "aa", "rationales": "gone"})
    last = artifact(tmp_path, "grpo", "cc", {"prepare": "aa", "model": "bb"})
    found = lineage([tmp_path / "toy" / "prepare" / "aa", last])
    assert [one["id"] for one in found] == ["aa", "gone", "bb", "cc"]
    assert step(found, "sft")["identity"]["inputs"]["prepare"] == "aa"
    assert step(found, "none") is None
    assert found[1] == {"id": "gone", "stage": "?", "label": "?"}


def test_what_training_prompts_listed(tmp_path):
    artifact(tmp_path, "prepare", "aa", {}, train_protocol="full")
    last = artifact(tmp_path, "sft", "bb", {"prepare": "aa"})
    assert trained_on(lineage([last])) == "full"
    assert trained_on(lineage([artifact(tmp_path, "merge", "cc", {})])) is None


def test_it_tells_no_times_and_no_secrets(tmp_path):
    last = artifact(tmp_path, "sft", "bb", {}, url="https://me:pass@host/x", api_key="abcdefgh")
    text = json.dumps(lineage([last]))
    assert "me:pass" not in text and "abcdefgh" not in text
    assert "seconds" not in text and "began" not in text


def test_it_tells_no_home_and_nothing_that_is_no_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/h/me")
    given = {"deepspeed": "/h/me/ds.json", "dirs": ["/h/me", "/h/me2/x"], "n": 1}
    (found,) = lineage([artifact(tmp_path, "sft", "bb", {}, trainer_args=given)])
    told = found["identity"]["knobs"]["trainer_args"]
    assert told == {"deepspeed": "~/ds.json", "dirs": ["~", "/h/me2/x"], "n": 1}
    monkeypatch.setenv("HOME", "/")
    (found,) = lineage([artifact(tmp_path, "sft", "cc", {}, path="/data/x")])
    assert found["identity"]["knobs"]["path"] == "/data/x"
