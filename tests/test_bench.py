"""The benchmarks run, at sizes that measure nothing."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = ("scoring", "evaluation", "grpo_step", "draws", "memory", "gpu")


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_runs_and_its_sides_agree(root, name):
    results = [root / "bench" / "RESULTS.md", root / "bench" / "results.json"]
    before = [path.read_bytes() for path in results]
    words = [] if name == "draws" else ["--shape", "tiny"]
    done = subprocess.run(
        [sys.executable, root / "bench" / f"{name}.py", "--quick", "--repeats", "1", *words],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "| claim | ratio |" in done.stdout
    assert [path.read_bytes() for path in results] == before


def test_every_script_is_tried(root):
    found = {path.stem for path in (root / "bench").glob("[!_]*.py")}
    assert found == {*SCRIPTS, "kill"}
