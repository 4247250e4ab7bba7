"""How runs begin and end, with a server and without."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mllmrec.tracking.opening import exit_code, kinds
from tests.fake_wandb import serving
from tests.tracking.begun import KEY, folder_of, knobs, warnings
from tests.wandb_reader import read


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
    about = {name: f"night of from-the-environment {name}" for name in ("name", "notes", "group")}
    tags = ["from-the-environment", "plain"]
    with launch(config=config, overrides=typed, tags=tags, **about) as tracker:
        tracker.table("t", ["text"], [["key is from-the-environment"]])
        tracker.summary({"note": "from-the-environment"})
    run = read(folder_of(tracker))
    assert run.config["reasoner"] == {
        "key_env": "OPENAI_API_KEY", "api_key": "***", "max_tokens": 64
    }  # fmt: skip
    assert run.config["overrides"] == ["reasoner.endpoint.api_key=***", "a={hub_token: ***, b: 1}"]
    assert (run.name, run.group) == ("night of *** name", "night of *** group")
    assert run.tags == ["***", "plain"]
    words = ("from-the-environment", "typed-by-hand", "within-braces", "my-pass-word", KEY)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    held = [(f, w) for f in files for w in words if w.encode() in f.read_bytes()]
    assert held == []
    assert len(files) > 5


def test_off_imports_no_wandb_and_keeps_the_lineage(tmp_path: Path) -> None:
    script = (
        "import sys, json; from pathlib import Path; from mllmrec.tracking.opening import *;"
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


@pytest.mark.parametrize(
    "why",
    [
        "no key",
        pytest.param("refused key", marks=pytest.mark.slow),
        pytest.param("closed port", marks=pytest.mark.slow),
        pytest.param("silent server", marks=pytest.mark.slow),
    ],
)
def test_online_without_a_server_is_recorded_offline(
    launch: Callable[..., Any], tmp_path: Path, why: str, at_most: Callable[[float], float],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    most = at_most(2)
    if why != "no key":
        monkeypatch.setenv("WANDB_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as silent, serving() as server:
        server.status = 401
        if why == "refused key":
            monkeypatch.setenv("WANDB_BASE_URL", server.url)
        if why == "silent server":
            monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with launch("online", timeout=1, finish_timeout=1, run_id="abc") as tracker:
            tracker.log({"loss": 1.0}, 1, "sft")
        assert time.monotonic() - began < most
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
        with pytest.raises(OSError), launch("online", run_id="abc", timeout=60) as first:
            first.log({"loss": 1.0}, 1, "sft")
            raise OSError
        with launch("online", run_id="abc", timeout=60, finish_timeout=60) as again:
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


def test_a_run_whose_rationales_were_told_targets_is_tagged(tmp_path):
    from mllmrec.artifacts import Store
    from mllmrec.runner import tags_of
    from tests.launching import config, steps

    def tags(*words):
        return tags_of(config(*words), steps(Store(root=tmp_path), *words))

    assert tags("stage=sft", "reasoner.reveal_target=true") == ["reveal_target"]
    assert tags("stage=sft") == tags("stage=prepare", "reasoner.reveal_target=true") == []


def test_an_algorithm_goes_by_the_name_that_was_chosen() -> None:
    """All are of one class; which parts it has is in the config."""
    nodes = {
        "dataset": {"_target_": "mllmrec.dataset.toy.Toy"},
        "algorithm": {"_target_": "mllmrec.algorithm.base.Algorithm"},
    }
    assert kinds({**nodes, "choices": {"algorithm": "riser"}}) == {
        "dataset": "toy",
        "algorithm": "riser",
    }
