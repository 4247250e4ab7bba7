"""What was recorded on disk goes to the server: all of it, and nothing twice."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mllmrec import locks
from mllmrec.errors import Refusal
from mllmrec.tracking import sent, sync
from mllmrec.tracking.unfinished import is_running
from tests.fake_wandb import Server, serving
from tests.tracking.begun import KEY, folder_of

Launch = Callable[..., Any]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with serving() as state:
        monkeypatch.setenv("WANDB_BASE_URL", state.url)
        yield state


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "here" / "wandb"


def in_two_parts(launch: Launch) -> str:
    """A run of five rows and two tables, killed after three rows; its id."""
    with pytest.raises(OSError), launch(run_id="abc", group="night", tags=["few"]) as first:
        for step in range(3):
            first.log({"loss": step}, step, "sft")
        first.table("first", ["a"], [[1]])
        raise OSError
    with launch(run_id="abc", group="night", tags=["few"]) as again:
        again.log({"loss": 10}, 3, "sft")
        again.log({"loss": 11}, 4, "sft")
        again.table("second", ["a"], [[2]])
        again.summary({"eval/sft/uni9/ndcg@5": 0.25})
    return str(again.id)


def check_whole(server: Server, id: str) -> None:
    run = server.runs[id]
    assert [row["sft/loss"] for row in run.history if "sft/loss" in row] == [0, 1, 2, 10, 11]
    steps = [row["_step"] for row in run.history]
    assert steps == sorted({*steps}) and len(steps) == 7
    assert run.summary["eval/sft/uni9/ndcg@5"] == 0.25
    assert (run.exit_code, run.fields["jobType"], run.fields["groupName"]) == (0, "sft", "night")
    assert run.fields["tags"] == ["few"]
    assert run.config["sft"] == {"value": {"lr": 1e-4}}
    stored = {json.loads(data)["data"][0][0] for n, data in server.files.items() if "media" in n}
    assert stored == {1, 2}
    assert [a["state"] for a in server.artifacts.values()] == ["COMMITTED"] * 2
    assert server.unknown == []


def test_all_parts_become_one_run_and_are_marked(
    launch: Launch, home: Path, server: Server
) -> None:
    id = in_two_parts(launch)
    (run,) = sync.kept(home)
    assert (run.id, len(run.parts), run.state(home)) == (id, 2, "unsent")
    sync.send(run, home, 60)
    check_whole(server, id)
    assert run.state(home) == "sent" and all(map(sent.is_sent, run.parts))
    assert not [*(home / "sending").glob("*run-*")]
    sync.send(run, home, 60)  # as if the mark had been lost
    check_whole(server, id)


def test_a_folder_that_was_moved_is_sent_whole(launch: Launch, home: Path, server: Server) -> None:
    """W&B's records name the files of tables by absolute paths."""
    id = in_two_parts(launch)
    moved = home.parent.parent / "moved" / "wandb"
    shutil.move(home.parent, moved.parent)
    (run,) = sync.kept(moved)
    sync.send(run, moved, 60)
    check_whole(server, id)


@pytest.mark.slow
@pytest.mark.parametrize("there", [1, 3, 4])
def test_cut_off_and_repeated_nothing_is_there_twice(
    launch: Launch, home: Path, server: Server, there: int
) -> None:
    """The server takes some rows, then fails until the sending is given up; then it is well."""
    id = in_two_parts(launch)
    take, failed = server.stream, threading.Event()

    def cut(name: str, body: dict[str, Any]) -> None:
        rows = (body.get("files") or {}).get("wandb-history.jsonl")
        if rows and not failed.is_set():
            rows["content"] = rows["content"][: there - rows["offset"]]
            take(name, {"files": {"wandb-history.jsonl": rows}})
            if len(server.runs[name].history) == there:
                failed.set()
                server.status = 500
                raise ConnectionError("the answer gets lost")
        else:
            take(name, body)

    server.stream = cut  # type: ignore[method-assign]
    (run,) = sync.kept(home)
    with pytest.raises(OSError, match="no end within 8 s"):
        sync.send(run, home, 8)
    assert run.state(home) == "unsent" and len(server.runs[id].history) == there
    server.status = 200
    sync.send(run, home, 60)
    check_whole(server, id)


def test_a_server_that_refuses_is_a_connection_error(
    launch: Launch, home: Path, server: Server
) -> None:
    with launch():
        pass
    (run,) = sync.kept(home)
    server.status = 401
    with pytest.raises(ConnectionError, match=f"no answer from {server.url}"):
        sync.send(run, home, 60)
    assert run.state(home) == "unsent"


@pytest.mark.slow
def test_online_runs_that_were_taken_are_sent_and_others_are_not(
    launch: Launch, home: Path, server: Server
) -> None:
    with launch("online", timeout=10, finish_timeout=10) as taken:
        taken.log({"loss": 1.0}, 1, "sft")
    with launch("online", timeout=10, finish_timeout=1) as lost:
        lost.log({"loss": 2.0}, 1, "sft")
        server.status = 500
    server.status = 200
    states = {run.id: run.state(home) for run in sync.kept(home)}
    assert states == {taken.id: "sent", lost.id: "unsent"}
    (run,) = [run for run in sync.kept(home) if run.id == lost.id]
    sync.send(run, home, 60)
    rows = server.runs[run.id].history
    assert [row["sft/loss"] for row in rows if "sft/loss" in row] == [2.0]
    assert server.runs[run.id].exit_code == 0


def test_a_run_that_is_going_on_is_left_alone(launch: Launch, home: Path) -> None:
    with launch() as tracker:
        (run,) = sync.kept(home)
        assert (run.id, run.state(home)) == (tracker.id, "running")
        assert is_running(home, run.id)
    assert run.state(home) == "unsent" and not is_running(home, run.id)


def test_parts_of_one_second_are_told_by_a_number(tmp_path: Path) -> None:
    names = [f"offline-run-20260101_000000-a{more}" for more in ("", "-1", "-2", "-10")]
    for name in reversed(names):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run-a.wandb").write_bytes(b"")
    (run,) = sync.kept(tmp_path)
    assert (run.id, [part.name for part in run.parts]) == ("a", names)


def test_runs_are_told_by_their_folders_the_oldest_first(tmp_path: Path) -> None:
    for name in (
        "offline-run-20260102_030405-b", "run-20260102_030405-b", "offline-run-20260101_000000-c",
        "offline-run-20260102_030406-b", "run-20260103_000000-a-with-dash", "unfinished", "data",
    ):  # fmt: skip
        (tmp_path / name).mkdir()
    (tmp_path / "latest-run").symlink_to(tmp_path / "run-20260102_030405-b")
    runs = sync.kept(tmp_path)
    assert [(run.id, run.began) for run in runs] == [
        ("c", "2026-01-01 00:00"),
        ("b", "2026-01-02 03:04"),
        ("a-with-dash", "2026-01-03 00:00"),
    ]
    b = [part.name for part in runs[1].parts]
    assert b == [
        "run-20260102_030405-b", "offline-run-20260102_030405-b", "offline-run-20260102_030406-b"
    ]  # fmt: skip
    assert {run.state(tmp_path) for run in runs} == {"empty"}
    assert sync.kept(tmp_path / "elsewhere") == []


def test_one_at_a_time_sends_and_what_a_killed_one_left_running_is_ended(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", SLEEPERS], stdout=subprocess.PIPE)
    assert left.stdout
    child = int(left.stdout.readline())
    (tmp_path / "sending").mkdir()
    told = {"pid": left.pid, "start": locks.process_start(left.pid)}
    (tmp_path / "sending" / sync.PID).write_text(json.dumps(told))
    with sync.alone(tmp_path):
        assert left.wait(10) == -signal.SIGKILL
        assert Path(f"/proc/{child}/stat").read_text().split()[2] == "Z" if alive(child) else True
        with pytest.raises(Refusal, match="another process is sending"), sync.alone(tmp_path):
            pass
    with sync.alone(tmp_path):
        pass
    assert sync.children_of(2**22 + 1) == []


SLEEPERS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_a_table_whose_file_is_gone_is_left_out_and_said(
    launch: Launch, home: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with launch() as tracker:
        tracker.log({"loss": 1.0}, 1, "sft")
        tracker.table("t", ["a"], [[1]])
    shutil.rmtree(home / "data")
    (run,) = sync.kept(home)
    sync.send(run, home, 60)
    assert "is left out: its staged file" in caplog.text
    assert folder_of(tracker) in run.parts and run.state(home) == "sent"
    assert server.runs[run.id].history[0]["sft/loss"] == 1.0 and server.artifacts == {}
