"""Whole launches against servers that fail: the same results, and hardly any later."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mllmrec import launches
from tests.fake_wandb import Server, serving
from tests.launching import SMALL, command, environment

KEY = "a1b2c3d4" * 5
WORDS = (*SMALL[:-1], "stage=evaluate", "evaluate.policies=[random,popularity,markov]")
WORDS += ("evaluate.compare=[]", "threads=1")


def begun(cwd: Path, *words: str, **more: str) -> tuple[dict[str, float], float, str]:
    """The final metrics of a launch, the seconds that it took, and what it said."""
    cwd.mkdir()
    plain = {name: value for name, value in environment().items() if not name.startswith("WANDB_")}
    env = {**plain, "HOME": str(cwd), "WANDB_ERROR_REPORTING": "false", **more}
    began = time.monotonic()
    done = subprocess.run(
        command(*WORDS, "hydra.run.dir=out", *words),
        cwd=cwd, env=env, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    return dict(launches.read(cwd / "out").columns), time.monotonic() - began, said


def make(server: Server, trouble: str) -> None:
    if trouble == "hangs":
        server.silent.set()
    else:
        server.status = 500


@pytest.mark.slow
def test_a_server_that_fails_changes_no_result_and_costs_less_than_30_seconds(
    tmp_path: Path, capsys: Any
) -> None:
    """Beside a launch without tracking, on the same machine, one after the other."""
    columns, plain, _ = begun(tmp_path / "without", "tracking=off")
    more: dict[str, float] = {}
    for trouble in ("answers 500", "hangs"):
        with serving() as server:
            make(server, trouble)
            own = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}
            found, seconds, said = begun(tmp_path / trouble, "tracking=online", **own)
        assert found == columns
        assert "W&B did not take the run" in said and "stage=sync" in said and KEY not in said
        assert list((tmp_path / trouble / "wandb").glob("offline-run-*/run-*.wandb"))
        more[trouble] = seconds - plain
    with capsys.disabled():
        print(f"\n{plain:.1f} s without; more:", {k: round(v, 1) for k, v in more.items()})
    assert max(more.values()) < 30, more
