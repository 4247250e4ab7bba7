"""What a launch tells of itself, however it ends, and how launches are found again."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from mllmrec import launches
from mllmrec.errors import Refusal
from mllmrec.launches import RUN, flat, found, read, told
from tests.launching import SMALL, command, environment, launch

CONFIG = {"goal": "prepare", "grpo": {"beta": 0.1, "lora": {}}, "tracking": {"tags": ["a"]}}


def tell(folder, **more):
    known = {"config": CONFIG, "overrides": ["grpo.beta=0.1"], "store": folder / "artifacts"}
    return told(folder, **{**known, **more})


def test_a_launch_is_told_while_it_runs_and_when_it_is_done(tmp_path):
    with tell(tmp_path / "run"):
        during = read(tmp_path / "run")
        assert during.state == "running" and during.told["seconds"] is None
    after = read(tmp_path / "run")
    assert after.state == "finished" and after.told["ended"] >= after.told["began"]
    assert after.told["seconds"] >= 0 and after.told["peak_memory"] > 1_000_000
    assert after.told["peak_gpu_memory"] is None
    assert after.knob("grpo.beta") == 0.1 and after.knobs["tracking.tags"] == ["a"]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Refusal("a", allowed="b", do="c"), "refused"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(1), "interrupted"),
        (ValueError("x"), "failed"),
    ],
)
def test_however_it_ends_it_says_so(tmp_path, error, state):
    with pytest.raises(type(error)), tell(tmp_path):
        raise error
    assert read(tmp_path).state == state


def test_one_that_could_not_say_so_was_killed(tmp_path):
    text = (
        "import sys, time; from pathlib import Path; from mllmrec.launches import told\n"
        "with told(Path(sys.argv[1]), config={'goal': 'x'}, overrides=[], store=Path('a')):\n"
        "    print('here', flush=True); time.sleep(60)\n"
    )
    words = [sys.executable, "-c", text, str(tmp_path)]
    child = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline() == "here\n"
    assert read(tmp_path).state == "running"
    child.kill()
    child.wait()
    assert read(tmp_path).state == "killed"
    path = tmp_path / RUN
    elsewhere = {**json.loads(path.read_text()), "host": "elsewhere"}
    path.write_text(json.dumps(elsewhere))
    assert read(tmp_path).state == "running"  # nobody here can know


def test_secrets_stay_out_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "hidden-value-123")
    config = {**CONFIG, "reasoner": {"api_key": "abc", "note": "hidden-value-123"}}
    with tell(tmp_path, config=config, overrides=["reasoner.api_key=abc"]):
        text = (tmp_path / RUN).read_text()
    assert "hidden-value-123" not in text and "abc" not in text


def test_the_peak_on_a_gpu_is_that_of_the_fullest_one(monkeypatch):
    peaks = {0: 5, 1: 9}
    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 2, max_memory_allocated=peaks.get
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert launches.peak_gpu_memory() == 9
    cuda.is_available = lambda: False
    assert launches.peak_gpu_memory() is None


def test_leaves_go_by_dotted_names_and_an_empty_node_is_one():
    assert dict(flat({"a": {"b": 1, "c": {}}, "d": [1]})) == {"a.b": 1, "a.c": {}, "d": [1]}


def test_launches_are_found_below_folders_oldest_first_and_damaged_ones_are_not(tmp_path):
    for name in ("x/2", "y/1", "broken", "empty"):
        with tell(tmp_path / name):
            pass
    path = tmp_path / "y" / "1" / RUN
    path.write_text(json.dumps({**json.loads(path.read_text()), "began": "2001-01-01"}))
    (tmp_path / "broken" / RUN).write_text("{")
    (tmp_path / "empty" / RUN).unlink()
    assert [one.folder.name for one in found([tmp_path, tmp_path / "x"])] == ["1", "2"]
    for name in ("broken", "empty"):
        with pytest.raises(Refusal, match="no launch's folder"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "said",
    [
        '{"state": "finished"}',  # before there was more
        '{"format": 2}',
        "[1]",
        "null",
    ],
)
def test_a_file_of_another_format_is_no_launch(tmp_path, said):
    (tmp_path / RUN).write_text(said)
    with pytest.raises(Refusal, match="no launch's folder"):
        read(tmp_path)
    assert found([tmp_path]) == []


@pytest.mark.parametrize("name", ["began", "config", "steps", "format"])
def test_nor_is_one_that_lacks_what_is_read(tmp_path, name):
    with tell(tmp_path):
        pass
    whole = json.loads((tmp_path / RUN).read_text())
    for other in (
        {key: value for key, value in whole.items() if key != name},
        {**whole, name: None},
    ):
        (tmp_path / RUN).write_text(json.dumps(other))
        assert found([tmp_path]) == []


@pytest.mark.slow
def test_a_real_launch_tells_its_steps_and_what_it_reused(tmp_path):
    words = ["stage=prepare", *SMALL]
    for name in ("first", "second"):
        done = launch(*words, f"hydra.run.dir={name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    first, second = read(tmp_path / "first"), read(tmp_path / "second")
    (made,), (reused,) = first.told["steps"], second.told["steps"]
    assert (made["label"], made["action"], reused["action"]) == ("prepare", "build", "reuse")
    assert made["seconds"] is not None and reused["seconds"] is None
    assert first.columns == second.columns and first.columns["prepare/users"] == 60
    assert first.told["overrides"] == words
    assert first.knob("prepare.protocols") == ["uni9"]


@pytest.mark.slow
def test_a_launch_that_is_interrupted_says_so(tmp_path):
    words = ["stage=prepare", "dataset.users=20000", "tracking=off", "hydra.run.dir=run"]
    child = subprocess.Popen(
        command(*words), cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL
    )
    while not (tmp_path / "run" / RUN).exists():
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    child.wait(60)
    assert read(tmp_path / "run").state == "interrupted"
