"""Tracking through the real wandb: offline files read back, and a server that is not there."""

import json
import logging
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from mllmrec.errors import Refusal
from mllmrec.redact import Scrubber
from mllmrec.tracking import (
    Tracker,
    Tracking,
    exit_code,
    open_run,
    refuse_multirun_under_agent,
)
from tests.fake_wandb import serving
from tests.wandb_reader import read, records

CONF = Path(__file__).parents[1] / "conf" / "tracking"
KEY = "a1b2c3d4" * 5


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A home of the test's own, and no W&B settings from outside."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setattr(sys, "argv", ["launch.py"])
    monkeypatch.chdir(tmp_path)  # wandb's command line leaves its log in the working directory
    yield
    if "wandb" in sys.modules and sys.modules["wandb"] is not None:
        sys.modules["wandb"].teardown()
    assert not list((tmp_path / "home").rglob("*")), "the home folder is not ours to write into"


def knobs(choice: str) -> dict[str, Any]:
    tree = yaml.safe_load((CONF / "offline.yaml").read_text())
    tree |= yaml.safe_load((CONF / f"{choice}.yaml").read_text())
    return {k: v for k, v in tree.items() if k not in {"_target_", "defaults"}}


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Any]:
    def begin(choice: str = "offline", /, **given: Any) -> Any:
        fields = {f: given.pop(f) for f in list(given) if f in Tracking.model_fields}
        tracking = Tracking(**{**knobs(choice), "dir": tmp_path / "here", **fields})
        asked: dict[str, Any] = {
            "config": {"sft": {"lr": 1e-4}}, "goal": "sft", "overrides": [], "run_id": None,
            "folder": tmp_path / "out", "is_main": True,
        }  # fmt: skip
        return open_run(tracking, **{**asked, **given})

    return begin


def parts(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "here" / "wandb").glob("offline-run-*"))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [r for r in caplog.records if r.name.startswith("mllmrec")]
    return [r.getMessage() for r in ours if r.levelno >= logging.WARNING]


def folder_of(tracker: Tracker) -> Path:
    assert tracker.path is not None
    return tracker.path


@pytest.mark.parametrize("choice", ["offline", "online", "off"])
def test_each_choice_is_valid_and_names_its_mode(choice: str) -> None:
    assert Tracking(**knobs(choice)).mode == choice


def test_a_bare_off_in_yaml_is_off_and_other_words_are_refused() -> None:
    assert Tracking(**{**knobs("off"), "mode": yaml.safe_load("off")}).mode == "off"
    with pytest.raises(ValidationError, match="offline"):
        Tracking(**{**knobs("off"), "mode": "disabled"})


def test_what_is_logged_is_on_disk(
    launch: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with launch(group="study", tags=["toy"], overrides=["stage=sft", "sft.lr=1e-4"]) as tracker:
        tracker.log({"loss": 0.5, "gap": math.nan}, 1, "sft")
        tracker.log({"loss": 0.25}, 2, "sft")
        tracker.log({"beta": 0.1}, 1, "grpo")
        tracker.summary({"eval/uni9/ndcg@10": 0.5})
        tracker.table("points", ["beta", "who"], [[0.1, "a"], ["-", None]])
    run = read(folder_of(tracker))
    assert (run.id, run.project, run.group, run.job_type) == (tracker.id, "mllmrec", "study", "sft")
    assert (run.tags, run.name, run.exit_code) == (["toy"], "sft sft.lr=1e-4", 0)
    assert run.config["sft"] == {"lr": 1e-4}
    assert run.config["overrides"] == ["stage=sft", "sft.lr=1e-4"]
    assert [row.get("sft/loss") for row in run.history] == [0.5, 0.25, None, None]
    assert math.isnan(run.history[0]["sft/gap"])
    assert [row.get("sft/step", row.get("grpo/step")) for row in run.history] == [1, 2, 1, None]
    assert run.step_metrics == {"sft/*": "sft/step", "grpo/*": "grpo/step"}
    assert run.summary["eval/uni9/ndcg@10"] == 0.5
    assert json.loads((tmp_path / "out" / "wandb.json").read_text()) == {
        "id": tracker.id,
        "mode": "offline",
        "path": str(tracker.path),
        "parts": [str(tracker.path)],
        "url": None,
    }
    assert f"send later with: wandb sync {tracker.path}" in caplog.text
    assert "WANDB_DATA_DIR" not in os.environ
    assert parts(tmp_path) == [tracker.path]


def test_the_reader_agrees_with_wandbs_own(launch: Callable[..., Any], tmp_path: Path) -> None:
    with launch() as tracker:
        tracker.log({"x" * 40_000: 1.0}, 1, "sft")  # a record across blocks of 32 KiB
        tracker.summary({"best": 1})
    file = next(folder_of(tracker).glob("*.wandb"))
    told = subprocess.run(
        [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", file],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "WANDB_CACHE_DIR": str(tmp_path / "cache")},
    )
    theirs = [json.loads(line) for line in told.stdout.splitlines()]
    ours = [record.WhichOneof("record_type") for record in records(file)]
    assert [record["type"] for record in theirs] == ours
    items = [record["history"]["item"] for record in theirs if record["type"] == "history"]
    assert items == read(file).history
    torn = tmp_path / "torn.wandb"
    torn.write_bytes(file.read_bytes()[:-5])
    assert len(list(records(torn))) == len(ours) - 1


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError(), 1), (SystemExit(), 0), (SystemExit("no"), 1), (KeyboardInterrupt(), 255)],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_a_run_that_fails_is_closed_and_the_next_one_is_another(
    launch: Callable[..., Any],
) -> None:
    with pytest.raises(SystemExit), launch(tags=["first"], group="g", goal="grpo") as first:
        first.log({"loss": 1.0}, 1, "grpo")
        sys.exit(3)
    with launch() as second:
        second.log({"loss": 2.0}, 1, "sft")
    one, two = read(folder_of(first)), read(folder_of(second))
    assert (one.exit_code, two.exit_code) == (3, 0)
    assert one.id != two.id
    assert (two.tags, two.group, two.job_type) == ([], "", "sft")
    assert [row.get("grpo/loss") for row in one.history] == [1.0]


def test_a_failed_launch_resumes_its_id_and_a_finished_one_gets_another(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="killed"), launch(run_id="abc") as killed:
        raise OSError("killed")
    unfinished = tmp_path / "here" / "wandb" / "unfinished"
    with filelock.FileLock(unfinished / "abc.lock"), launch(run_id="abc") as twin:
        pass  # what a second process sees while the first one runs
    with launch(run_id="abc") as again:
        told = json.loads((tmp_path / "out" / "wandb.json").read_text())
    assert told["parts"] == [str(killed.path), str(again.path)]
    with launch(run_id="abc") as later:
        pass
    assert again.id == killed.id and again.path != killed.path
    assert len({killed.id, twin.id, later.id}) == 3
    assert read(folder_of(again)).resume
    assert not list(unfinished.glob("*.json"))


def test_a_broken_memory_of_the_launch_is_as_good_as_none(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "here" / "wandb" / "unfinished" / "abc.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"id": ')
    with launch(run_id="abc") as tracker:
        assert json.loads(file.read_text())["id"] == tracker.id


def test_secrets_are_in_no_byte_of_what_is_kept(
    launch: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    typed = ["reasoner.endpoint.api_key=typed-by-hand", "a={hub_token: within-braces, b: 1}"]
    monkeypatch.setattr(sys, "argv", ["launch.py", *typed])
    config = {
        "reasoner": {"key_env": "OPENAI_API_KEY", "api_key": "typed-by-hand", "max_tokens": 64},
        "headers": {"x": "Bearer from-the-environment"},
        "url": "https://me:my-pass-word@host/v1",
    }
    with launch(config=config, overrides=typed) as tracker:
        tracker.table("t", ["text"], [["key is from-the-environment"]])
        tracker.summary({"note": "from-the-environment"})
    run = read(folder_of(tracker))
    assert run.config["reasoner"] == {
        "key_env": "OPENAI_API_KEY", "api_key": "***", "max_tokens": 64
    }  # fmt: skip
    assert run.config["overrides"] == ["reasoner.endpoint.api_key=***", "a={hub_token: ***, b: 1}"]
    words = ("from-the-environment", "typed-by-hand", "within-braces", "my-pass-word", KEY)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    held = [(f, w) for f in files for w in words if w.encode() in f.read_bytes()]
    assert held == []
    assert len(files) > 5


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("sft.lr=1e-4", "sft.lr=1e-4"),
        ("reasoner.key_env=OPENAI_API_KEY", "reasoner.key_env=OPENAI_API_KEY"),
        ("reasoner.max_tokens=128", "reasoner.max_tokens=128"),
        ("+a.password=1234,5 6", "+a.password=***"),
        ("a.headers={Authorization: Bearer abc}", "a.headers={Authorization: ***}"),
        ("a.url=https://u:p@h/x?token=abc&n=1", "a.url=https://***@h/x?token=***&n=1"),
        ("a.args=[sk-abcdefghijklmnopqrstuvwx]", "a.args=[***]"),
        ("dataset.path=a/toy-movies/held-secretly", "dataset.path=a/***/held-secretly"),
        ("sft.pad_token=null", "sft.pad_token=null"),
        ("stage=sft", "stage=sft"),
    ],
)
def test_scrubbing(typed: str, sent: str) -> None:
    assert Scrubber({"A_TOKEN": "toy-movies", "B_KEY": "a"}).override(typed) == sent


def test_scrubbing_keeps_numbers_and_makes_text_of_the_rest() -> None:
    tree = {"a": np.float32(0.5), "b": Path("x"), "c": (1, True, None), "api_keys": ["k"]}
    sent = {"a": 0.5, "b": "x", "c": [1, True, None], "api_keys": ["***"]}
    assert Scrubber({}).tree(tree) == sent


def test_off_imports_no_wandb_and_keeps_the_lineage(tmp_path: Path) -> None:
    script = (
        "import sys, json; from pathlib import Path; from mllmrec.tracking import *;"
        "t = Tracking(**json.loads(sys.argv[1]));"
        "folder = Path(sys.argv[2]);"
        "c = open_run(t, config={}, goal='sft', overrides=[], run_id='a', folder=folder,"
        " is_main=True);"
        "tracker = c.__enter__(); tracker.log({'x': 1.0}, 1, 's'); tracker.summary({'x': 1});"
        "tracker.table('t', ['a'], [[1]]); tracker.lineage({'a': Path('d/s/1')}, {});"
        "c.__exit__(None, None, None);"
        "assert 'wandb' not in sys.modules and 'torch' not in sys.modules"
    )
    out = tmp_path / "out"
    out.mkdir()
    words = [sys.executable, "-c", script, json.dumps({**knobs("off"), "dir": str(tmp_path)}), out]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[1])
    assert "d/s/1" in json.loads((out / "lineage.json").read_text())["inputs"]
    assert [file.name for file in tmp_path.rglob("*.*")] == ["lineage.json"]


def test_lineage_is_kept_and_survives_in_the_config(
    launch: Callable[..., Any], tmp_path: Path
) -> None:
    store = tmp_path / "artifacts" / "toy"
    with launch() as tracker:
        tracker.lineage({"samples": store / "prepare" / "aa"}, {})
        tracker.lineage({}, {"sft": store / "sft" / "bb"})
    kept = json.loads((tmp_path / "out" / "lineage.json").read_text())
    assert kept["run"] == tracker.id
    assert kept["inputs"] == {
        "toy/prepare/aa": {"as": "samples", "path": str(store / "prepare" / "aa")}
    }
    run = read(folder_of(tracker))
    assert run.config["lineage"]["outputs"]["toy/sft/bb"]["as"] == "sft"
    assert run.artifacts == []


def test_only_rank_0_tracks(launch: Callable[..., Any], tmp_path: Path) -> None:
    with launch(is_main=False) as tracker:
        tracker.log({"loss": 1.0}, 1, "sft")
        tracker.lineage({"a": tmp_path}, {})
    assert tracker.id is tracker.path is tracker.url is None
    assert not (tmp_path / "here").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", ["absent", "a data folder"])
def test_without_wandb_the_run_goes_on(
    launch: Callable[..., Any], tmp_path: Path, how: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    hollow = type(sys)("wandb")
    monkeypatch.setitem(sys.modules, "wandb", None if how == "absent" else hollow)
    with launch() as tracker:
        tracker.log({"loss": 1.0}, 1, "sft")
    assert tracker.id is None
    (said,) = warnings(caplog)
    assert "pip install wandb" in said and "tracking=off" in said
    monkeypatch.delitem(sys.modules, "wandb")


def test_a_folder_that_cannot_be_written_does_not_stop_the_run(
    launch: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with launch(dir=tmp_path / "file") as tracker:
        tracker.log({"loss": 1.0}, 1, "sft")
    assert "tracking.dir=" in caplog.text


def test_a_failing_call_is_said_once_and_the_rest_is_logged(
    launch: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with launch() as tracker:
        tracker.log({"loss": "many"}, 1, "sft")
        tracker.log({"loss": "much"}, 2, "sft")
        tracker.log({"loss": 1.0}, 3, "sft")
    said = warnings(caplog)
    assert len(said) == 1 and f"wandb sync {tracker.path}" in said[0]
    assert [row["sft/step"] for row in read(folder_of(tracker)).history] == [3]


@pytest.mark.parametrize("why", ["no key", "closed port", "silent server"])
def test_online_without_a_server_is_recorded_offline(
    launch: Callable[..., Any], tmp_path: Path, why: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    if why != "no key":
        monkeypatch.setenv("WANDB_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if why == "silent server":
            monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with launch("online", timeout=1, finish_timeout=1, run_id="abc") as tracker:
            tracker.log({"loss": 1.0}, 1, "sft")
        assert time.monotonic() - began < 12
    said = warnings(caplog)
    assert len(said) == 1 and "wandb login" in said[0] and "tracking=offline" in said[0]
    run = read(folder_of(tracker))
    assert [row["sft/loss"] for row in run.history] == [1.0]
    assert (tracker.url, run.exit_code, run.resume) == (None, 0, True)
    assert not list((tmp_path / "here" / "wandb").glob("run-*"))


def test_online(
    launch: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    store = tmp_path / "artifacts" / "toy"
    (store / "prepare" / "aa").mkdir(parents=True)
    (store / "sft" / "bb").mkdir(parents=True)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with pytest.raises(OSError), launch("online", run_id="abc", timeout=10) as first:
            first.log({"loss": 1.0}, 1, "sft")
            raise OSError
        with launch("online", run_id="abc", timeout=10, finish_timeout=10) as again:
            again.log({"loss": 2.0}, 2, "sft")
            again.lineage({"samples": store / "prepare" / "aa"}, {"sft": store / "sft" / "bb"})
        assert again.url and again.url.endswith(f"/us/mllmrec/runs/{again.id}")
    assert [*server.runs] == [first.id] == [again.id]
    run = server.runs[str(again.id)]
    assert [row["sft/loss"] for row in run.history] == [1.0, 2.0]
    assert (run.exit_code, run.fields["jobType"]) == (0, "sft")
    assert {a["name"]: a["state"] for a in server.artifacts.values()} == {
        "toy-prepare-aa": "COMMITTED",
        "toy-sft-bb": "COMMITTED",
    }
    assert server.used == [(again.id, "toy-prepare-aa")]
    assert server.unknown == []


def test_a_server_that_dies_on_the_way_is_said_and_bounded(
    launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    began = time.monotonic()
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        tracking = launch("online", timeout=10, finish_timeout=1)
        tracker = tracking.__enter__()
    tracker.log({"loss": 1.0}, 1, "sft")
    tracking.__exit__(None, None, None)
    assert time.monotonic() - began < 12
    assert f"wandb sync {tracker.path}" in caplog.text
    assert [row["sft/loss"] for row in read(folder_of(tracker)).history] == [1.0]


def test_offline_parts_become_one_run_at_the_server(
    launch: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError), launch(run_id="abc") as first:
        first.log({"loss": 1.0}, 1, "sft")
        raise OSError
    with launch(run_id="abc") as again:
        again.log({"loss": 2.0}, 2, "sft")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with serving() as server:
        paths = json.loads((tmp_path / "out" / "wandb.json").read_text())["parts"]
        cache = str(tmp_path / "cache")
        env = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_CACHE_DIR": cache}
        command = [Path(sys.executable).with_name("wandb"), "sync", "--yes", *paths]
        subprocess.run(command, check=True, capture_output=True, env=env, timeout=60)
    assert [row["sft/loss"] for row in server.runs[str(again.id)].history] == [1.0, 2.0]
    assert server.runs[str(again.id)].exit_code == 0


def test_under_an_agent_its_id_and_sweep_win(
    launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SWEEP_ID": "sw1", "RUN_ID": "fixed001", "PROJECT": "theirs"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    with launch(run_id="abc") as tracker:
        pass
    run = read(folder_of(tracker))
    assert (run.id, run.sweep, run.project) == ("fixed001", "sw1", "theirs")
    assert tracker.id == "fixed001"


def test_the_configs_mode_wins_over_the_environment(
    launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_RUN_GROUP", "night")
    with launch() as tracker:
        tracker.log({"loss": 1.0}, 1, "sft")
    run = read(folder_of(tracker))
    assert (run.project, run.group, len(run.history)) == ("mllmrec", "night", 1)


@pytest.mark.parametrize("name", ["WANDB_SWEEP_ID", "WANDB_RUN_ID"])
def test_a_multirun_under_an_agent_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_multirun_under_agent()
    monkeypatch.setenv(name, "fixed001")
    with pytest.raises(Refusal, match=f"{name}=fixed001.*unset {name}"):
        refuse_multirun_under_agent()


def test_a_run_whose_rationales_were_told_targets_is_tagged(tmp_path):
    from mllmrec.artifacts import Store
    from mllmrec.runner import tags_of
    from tests.launching import config, steps

    def tags(*words):
        return tags_of(config(*words), steps(Store(root=tmp_path), *words))

    assert tags("stage=sft", "reasoner.reveal_target=true") == ["reveal_target"]
    assert tags("stage=sft") == tags("stage=prepare", "reasoner.reveal_target=true") == []
