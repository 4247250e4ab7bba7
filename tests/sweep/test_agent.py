"""The same file in the other world: the real ``wandb sweep`` and ``wandb agent`` on loopback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mllmrec.sweep.reading import parse
from mllmrec.sweep.space import grid
from tests.fake_wandb import serving
from tests.launching import ROOT, SMALL, environment
from tests.sweep.files import END, START, tree, write

KEY = "a1b2c3d4" * 5
PARAMETERS = {"prepare.history_length": {"values": [3, 5]}, "seed": {"values": [1, 2]}}


def wandb(*words, cwd, env):
    call = [sys.executable, "-m", "wandb", *words]
    return subprocess.run(call, cwd=cwd, env=env, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_wandbs_agent_runs_the_points_that_we_would_run(tmp_path):
    words = [word for word in SMALL if not word.startswith("tracking")]
    command = [*START, "stage=prepare", "tracking=online", *words, *END]
    launch = str(ROOT / "launch.py")
    asked = {"command": command, "parameters": PARAMETERS, "project": "study"}
    file = write(tmp_path / "s.yaml", program=launch, **asked)
    with serving() as server:
        env = environment(WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY, WANDB_ERROR_REPORTING="no")
        env |= {"HOME": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path), "WANDB_SILENT": "false"}
        # the agent's ${interpreter} is the first python of the PATH, as an activated one is
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {k: v for k, v in env.items() if k != "WANDB_MODE"}
        made = wandb("sweep", str(file), cwd=tmp_path, env=env)
        assert made.returncode == 0, made.stdout + made.stderr
        (name,) = server.sweeps
        assert re.search(rf"wandb agent \S*{name}", made.stdout + made.stderr)
        done = wandb("agent", f"us/study/{name}", cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        points = grid(parse(tree(**asked), "s"))
        runs = server.sweeps[name].runs
        assert list(runs.values()) == points and len(points) == 4, done.stdout + done.stderr
        for run, point in runs.items():
            told = server.runs[run]
            assert told.exit_code == 0 and told.fields["sweep"].endswith(name)
            assert told.fields["jobType"] == "prepare"
            assert told.config["seed"]["value"] == point["seed"]
            assert "prepare/oracle/uni9/ndcg@5" in told.summary
            length = told.config["prepare"]["value"]["history_length"]
            assert length == point["prepare.history_length"]
        assert not server.unknown, server.unknown
