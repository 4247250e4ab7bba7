"""Builds: whole or not at all, once, and gone on with after a kill."""

import json
import logging
import re
import subprocess
import sys
from contextlib import ExitStack
from datetime import datetime

import pytest

from mllmrec import build, locks
from mllmrec.artifacts import MANIFEST, Store, file_digest, partial_of
from mllmrec.build import carry_out
from mllmrec.errors import Refusal
from mllmrec.stage.prepare import Prepare
from tests.launching import ROOT, SMALL, config, environment, make, steps

WORDS = ("stage=prepare", *SMALL)

# Builds and is killed, by the signal that no process can catch, where a function would be called.
KILLED = """
import os, sys
from pathlib import Path
from mllmrec import artifacts
from tests.launching import Store, make
setattr(artifacts, sys.argv[1], lambda *a: os.kill(os.getpid(), 9))
make(Store(root=Path(sys.argv[2])), *sys.argv[3:])
"""


def killed(store, where):
    call = [sys.executable, "-c", KILLED, where, str(store.root), *WORDS]
    done = subprocess.run(call, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == -9, done.stderr


def content(folder):
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def never(self, job):
    raise AssertionError("built although it was there")


@pytest.fixture
def store(tmp_path):
    return Store(root=tmp_path / "store")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One artifact of prepare in a store of its own; not to be changed."""
    store = Store(root=tmp_path_factory.mktemp("whole"))
    return store, make(store, *WORDS)["prepare"]


def test_a_manifest_tells_how_the_artifact_came_to_be(whole):
    store, artifact = whole
    said = json.loads((artifact.folder / MANIFEST).read_text())
    (step,) = steps(store, *WORDS)
    assert (said["stage"], said["label"], said["id"]) == ("prepare", "prepare", step.id)
    assert said["identity"] == json.loads(json.dumps(step.identity))
    assert said["metrics"]["users"] == 60
    assert said["threads"] >= 1 and said["seconds"] >= 0
    assert datetime.fromisoformat(said["began"]).tzinfo is not None
    assert {"python", "mllmrec", "torch", "polars"} <= said["versions"].keys()
    if said["git"]:
        assert re.fullmatch("[0-9a-f]{40}", said["git"]["commit"])
        assert isinstance(said["git"]["dirty"], bool)
    assert set(said["files"]) == set(content(artifact.folder))
    for name, file in said["files"].items():
        path = artifact.folder / name
        assert file == {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def test_nothing_but_the_artifact_is_left(whole):
    _, artifact = whole
    there = [p.name for p in artifact.folder.parent.iterdir() if p.suffix != ".guard"]
    assert there == [artifact.id]


def test_what_is_there_is_not_built_again(whole, monkeypatch, caplog):
    store, artifact = whole
    monkeypatch.setattr(Prepare, "run", never)
    with caplog.at_level(logging.INFO):
        assert make(store, *WORDS)["prepare"].folder == artifact.folder
    assert f"[1/1] prepare {artifact.id}: reused" in caplog.text


def test_what_was_built_meanwhile_is_not_built_again(whole, monkeypatch):
    """The plan was made while the artifact was missing, and another process was faster."""
    store, artifact = whole
    planned = steps(Store(root=store.root / "empty"), *WORDS)
    assert planned[0].action == "build"
    late = [type(planned[0])(**{**vars(planned[0]), "folder": artifact.folder})]
    monkeypatch.setattr(Prepare, "run", never)
    done = carry_out(late, config(*WORDS), lambda *_: None)
    assert done[artifact.id].artifact.folder == artifact.folder


def test_a_build_killed_before_its_manifest_is_resumed(store, whole):
    killed(store, "publish")
    (step,) = steps(store, *WORDS)
    assert not step.folder.exists() and list(store) == []
    assert (partial_of(step.folder) / "items.parquet").exists()
    assert not (partial_of(step.folder) / MANIFEST).exists()
    assert (step.action, step.why) == ("resume", "an earlier build was interrupted")
    artifact = make(store, *WORDS)["prepare"]
    assert not partial_of(step.folder).exists()
    assert content(artifact.folder) == content(whole[1].folder)


def test_a_build_killed_after_its_manifest_is_put_in_place(store, whole, monkeypatch):
    killed(store, "put_in_place")
    (step,) = steps(store, *WORDS)
    assert not step.folder.exists() and (partial_of(step.folder) / MANIFEST).exists()
    monkeypatch.setattr(Prepare, "run", never)
    artifact = make(store, *WORDS)["prepare"]
    artifact.verify(thorough=True)
    assert content(artifact.folder) == content(whole[1].folder)


def test_a_fault_publishes_nothing_and_frees_the_lock(store, monkeypatch):
    def fail(self, job):
        (job.out / "half").write_text("")
        raise Refusal("a", allowed="b", do="c")

    with monkeypatch.context() as patch, pytest.raises(Refusal):
        patch.setattr(Prepare, "run", fail)
        make(store, *WORDS)
    assert list(store) == [] and len(store.partials()) == 1
    assert not [p for p in store.root.rglob(".lock-*") if p.suffix != ".guard"]


def test_force_builds_what_is_there_again(store):
    first = make(store, *WORDS)["prepare"]
    before = (first.folder / MANIFEST).stat().st_mtime_ns
    make(store, *WORDS, "force=[prepare]")
    assert (first.folder / MANIFEST).stat().st_mtime_ns > before


def test_a_truncated_file_is_refused_and_mended_by_what_the_message_says(store):
    artifact = make(store, *WORDS)["prepare"]
    file = artifact.folder / "items.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    with pytest.raises(Refusal, match=r"damaged, items\.parquet has") as refusal:
        make(store, *WORDS)
    assert "type force=[prepare]" in refusal.value.do
    make(store, *WORDS, "force=[prepare]")
    assert file.read_bytes() == whole


def test_a_changed_byte_is_refused_before_anything_is_built_on_it(store):
    artifact = make(store, *WORDS)["prepare"]
    file = artifact.folder / "train.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(Refusal, match=r"the content of train\.parquet has changed"):
        make(store, "stage=pseudo_cot", *SMALL)
    assert not (store.root / "toy" / "pseudo_cot").exists() or not [
        a for a in store if a.stage == "pseudo_cot"
    ]


def test_metrics_are_told_under_the_label_of_their_step(store, monkeypatch):
    def run(self, job):
        assert job.seed == 7 and set(job.groups) == {"dataset"} and job.inputs == {}
        job.log({"loss": 0.5}, 3)
        return {"users": 1.0}

    monkeypatch.setattr(Prepare, "run", run)
    words, heard = (*WORDS, "seed=7"), []
    carry_out(steps(store, *words), config(*words), lambda *told: heard.append(told))
    assert heard == [("prepare", {"loss": 0.5}, 3)]


def test_what_does_not_stand_on_what_another_builds_comes_first(tmp_path, caplog):
    """Two launches that share a chain share its work, instead of one waiting for the other."""
    store = Store(root=tmp_path / "store")
    words = (*SMALL, "evaluate.policies=[random,popularity]")
    planned = steps(store, *words)
    other = next(step for step in planned if step.label == "rank random")
    order = []

    def takes(step, *rest):
        order.append(step.label)
        return build_one(step, *rest)

    build_one = build.build
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        stack.enter_context(locks.held(other.lock))
        patch.setattr(build, "build", takes)
        patch.setattr(build.time, "sleep", lambda _: stack.close())  # the other gives up
        carry_out(planned, config(*words), lambda *_: None)
    assert order == ["prepare", "rank popularity", "rank random", "evaluate"]
