"""Two machines, here on one host: one leads, the other lends its processes."""

import json
import socket
import subprocess

import pytest

from mllmrec import follow, locks
from mllmrec.artifacts import Store, partial_of
from mllmrec.errors import Refusal
from mllmrec.plan import plan
from tests.launching import SMALL, command, config, environment

SHORT = (*SMALL, "stage=pretrain", "threads=1", "pretrain.max_steps=3", "pretrain.save_steps=1")
SHORT += ("pretrain.logging_steps=1", "pretrain.batch_size=8")


@pytest.fixture
def step(tmp_path):
    return plan(config(*SHORT), Store(root=tmp_path))[-1]


def test_a_job_is_followed_while_its_leader_holds_the_lock(step):
    folder = follow.workers_of(step)
    assert partial_of(step.folder) in folder.parents
    folder.mkdir(parents=True)
    lock = step.folder.with_name(f".lock-{step.id}")
    (folder / "job.json").write_text(json.dumps({"token": "a", "leader": locks.me()}))
    assert follow.asked_by(step, folder) is None  # nobody holds it
    lock.write_text(json.dumps({**locks.me(), "start": "1"}))
    assert follow.asked_by(step, folder) is None  # another one, and dead
    lock.write_text(json.dumps(locks.me()))
    assert follow.asked_by(step, folder) == "a"


def test_a_machine_that_nobody_leads_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "PATIENCE", 0.0)
    made = config(*SHORT)
    with pytest.raises(Refusal, match=r"start the one with parallel\.rank=0"):
        follow.follow(plan(made, Store(root=tmp_path)), made)


@pytest.mark.slow
def test_two_machines_make_what_one_makes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = ("parallel=ddp", "parallel.processes=1", "parallel.machines=2")
    both += ("parallel.address=127.0.0.1", f"parallel.port={port}", "artifacts=shared")
    kinds = [(*SHORT, *both, f"parallel.rank={rank}") for rank in (1, 0)] + [SHORT]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    runs = [
        subprocess.Popen(command(*words), cwd=tmp_path, env=environment(), **streams)
        for words in kinds
    ]
    told = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], "\n".join(told)
    assert "following" in told[0] and "2 processes" in told[1]
    (shared,) = (tmp_path / "shared").glob("toy/pretrain/*/history.json")
    (alone,) = (tmp_path / "artifacts").glob("toy/pretrain/*/history.json")
    pairs = zip(json.loads(shared.read_text()), json.loads(alone.read_text()), strict=True)
    for a, b in pairs:
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5, rel=1e-5)
