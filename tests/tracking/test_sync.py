"""What was recorded on disk goes to the server: all of it, and nothing twice."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mllmrec import locks
from mllmrec.errors import Refusal
from mllmrec.tracking import sent, sync
from mllmrec.tracking.access import rows_there
from mllmrec.tracking.folders import own_folders
from mllmrec.tracking.unfinished import is_running
from tests.fake_wandb import Run, Server, serving
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


@pytest.fixture
def two_parts(once: Callable[..., Any], launch: Launch, home: Path) -> str:
    """A run of five rows and two tables, killed after three rows; its id."""

    def record_them() -> None:
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

    once("two parts with tables", record_them)
    (run,) = sync.kept(home)
    return run.id


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
    two_parts: str, home: Path, server: Server
) -> None:
    id = two_parts
    (run,) = sync.kept(home)
    assert (run.id, len(run.parts), run.state(home)) == (id, 2, "unsent")
    sync.send(run, home, 60)
    check_whole(server, id)
    assert run.state(home) == "sent" and all(map(sent.is_sent, run.parts))
    assert not [*(home / "sending").glob("*run-*")]


@pytest.mark.slow
def test_a_folder_that_was_moved_is_sent_whole(two_parts: str, home: Path, server: Server) -> None:
    """W&B's records name the files of tables by absolute paths."""
    id = two_parts
    moved = home.parent.parent / "moved" / "wandb"
    shutil.move(home.parent, moved.parent)
    (run,) = sync.kept(moved)
    for _ in range(2):  # once more as if the mark had been lost
        sync.send(run, moved, 60)
        check_whole(server, id)


@pytest.mark.slow
@pytest.mark.parametrize("there", [1, 4])
def test_cut_off_and_repeated_nothing_is_there_twice(
    two_parts: str, home: Path, server: Server, there: int
) -> None:
    """The server takes some rows, then fails until the sending is given up; then it is well."""
    id = two_parts
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


@pytest.mark.slow
def test_a_part_that_was_not_sent_goes_after_one_that_was_sent_while_it_ran(
    launch: Launch, home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Online without a server, then killed; the same command with the server; then a sync."""
    with monkeypatch.context() as without:
        without.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
        with pytest.raises(OSError), launch("online", run_id="abc", timeout=1) as first:
            for step in range(3):
                first.log({"loss": step}, step, "sft")
            raise OSError
    with launch("online", run_id="abc", timeout=60, finish_timeout=60) as again:
        again.log({"loss": 10}, 3, "sft")
        again.log({"loss": 11}, 4, "sft")
    told = server.runs[again.id]
    assert [row["sft/loss"] for row in told.history] == [10, 11]
    (run,) = sync.kept(home)
    assert [*map(sent.is_sent, run.parts)] == [False, True]
    for _ in range(2):  # once more as if the mark had been lost
        sync.send(run, home, 60)
        assert [row["sft/loss"] for row in told.history] == [10, 11, 0, 1, 2]
        assert [row["_step"] for row in told.history] == list(range(5))
        assert run.state(home) == "sent"
    assert told.summary["sft/loss"] == 11 and told.exit_code == 0


def test_rows_that_a_server_hides_are_not_sent_again(
    two_parts: str, home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = server.runs[two_parts] = Run(two_parts, "mllmrec")
    run.lines["history"] += [
        json.dumps({"_step": step, "_timestamp": 1e9 + step}) for step in (*range(4), 2500)
    ]
    with own_folders(home):
        found = rows_there("", "mllmrec", two_parts)
        assert found == {1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3, 1e9 + 2500}
        assert server.asked.count("HistoryPage") == 3
        assert rows_there("", "mllmrec", "another") == frozenset()
        none = {"project": {"run": {"history": []}}}
        monkeypatch.setattr(server, "on_HistoryPage", lambda _: none)
        with pytest.raises(OSError, match=r"has 5 rows of run .* and shows 0"):
            rows_there("", "mllmrec", two_parts)


def test_a_server_that_refuses_is_a_connection_error(
    two_parts: str, home: Path, server: Server
) -> None:
    (run,) = sync.kept(home)
    server.status = 401
    with pytest.raises(ConnectionError, match=f"no answer from {server.url}"):
        sync.send(run, home, 60)
    assert run.state(home) == "unsent"


@pytest.mark.slow
def test_online_runs_that_were_taken_are_sent_and_others_are_not(
    launch: Launch, home: Path, server: Server
) -> None:
    with launch("online", timeout=60, finish_timeout=60) as taken:
        taken.log({"loss": 1.0}, 1, "sft")
    with launch("online", timeout=60, finish_timeout=1) as lost:
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
        assert left.wait(60) == -signal.SIGKILL
        ended = time.monotonic() + 60  # a killed process goes when the machine lets it
        while is_alive(child) and time.monotonic() < ended:
            time.sleep(0.02)
        assert not is_alive(child)
        with pytest.raises(Refusal, match="another process is sending"), sync.alone(tmp_path):
            pass
    with sync.alone(tmp_path):
        pass
    assert sync.children_of(2**22 + 1) == []


SLEEPERS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to see its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


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
