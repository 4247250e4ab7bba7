"""``stage=sync`` through the command line."""

import re
from pathlib import Path

import pytest

from mllmrec.stage.sync import Sync
from mllmrec.tracking.sync import kept
from tests.fake_wandb import serving
from tests.launching import SMALL, config, launch, told

KEY = "a1b2c3d4" * 5


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """W&B's settings of the test's own, and no key unless it is given."""
    own = {"HOME": str(tmp_path), "WANDB_ERROR_REPORTING": "false", "NETRC": str(tmp_path / "no")}
    return {**own, "WANDB_BASE_URL": "http://127.0.0.1:9", **more}


def test_the_shipped_knobs_are_valid() -> None:
    assert isinstance(config("stage=sync").goal, Sync)


def test_nothing_recorded_is_nothing_to_do(tmp_path: Path) -> None:
    done = launch("stage=sync", cwd=tmp_path, **environment(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "0 runs in" in done.stdout


@pytest.mark.slow
def test_a_launch_is_recorded_told_refused_sent_and_not_sent_again(tmp_path: Path) -> None:
    words = (*SMALL, "stage=prepare", "tracking=offline")
    made = launch(*words, cwd=tmp_path, **environment(tmp_path))
    assert made.returncode == 0, made.stderr
    assert "send later with: python launch.py stage=sync" in made.stdout + made.stderr

    listed = launch("stage=sync", "plan_only=true", cwd=tmp_path, **environment(tmp_path))
    (run,) = kept(tmp_path / "wandb")
    assert "1 unsent" in listed.stdout and run.id in listed.stdout

    refused = told(launch("stage=sync", cwd=tmp_path, **environment(tmp_path)))
    assert "no key for the W&B server" in refused and "type wandb login" in refused

    closed = environment(tmp_path, WANDB_API_KEY=KEY)
    no_answer = told(launch("stage=sync", cwd=tmp_path, **closed))
    assert f"run {run.id} was not sent" in no_answer and KEY not in no_answer

    with serving() as server:
        own = environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
        sent = launch("stage=sync", cwd=tmp_path, **own)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert "sent 1 runs" in sent.stdout and "\r" not in sent.stdout + sent.stderr
        asked = len(server.asked)
        again = launch("stage=sync", cwd=tmp_path, **own)
        assert "1 sent, 0 unsent" in again.stdout and len(server.asked) == asked
    told_run = server.runs[run.id]
    assert (told_run.exit_code, told_run.fields["jobType"]) == (0, "prepare")
    assert set(told_run.fields["tags"]) == {"toy", "tiny"}
    assert told_run.config["prepare"]["value"]["protocols"] == ["uni9"]
    assert told_run.config["kind"]["value"]["dataset"] == "toy"
    assert any(re.match(r"prepare/", name) for name in told_run.summary)
    assert server.unknown == []
