"""The benchmarks run, at sizes that measure nothing."""

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = ("scoring", "evaluation", "draws", "prepare", "page")
# Many processes, minutes also when they are small.
LONG = ("grpo_step", "memory", "gpu", "kill", "captions", "leak", "sasrec", "sweep", "compare")


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_runs_and_its_sides_agree(root, name):
    if name == "page" and not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("no chromium on this machine: apt-get install chromium")
    before = results(root)
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
    assert results(root) == before


def results(root):
    files = (root / "bench" / name for name in ("RESULTS.md", "results.json"))
    return [path.read_bytes() for path in files if path.exists()]


def test_every_script_is_tried(root):
    found = {path.stem for path in (root / "bench").glob("[!_]*.py")}
    assert found == {*SCRIPTS, *LONG}
