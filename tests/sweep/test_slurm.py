"""A sweep on a real SLURM of one node, started for the test from the system's own packages."""

import json
import subprocess

import pytest

from mllmrec import launches
from tests.grid.cluster import cluster, missing
from tests.launching import SMALL, command, environment
from tests.sweep.files import write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if lacking := missing():
        pytest.skip(f"no {', '.join(lacking)}: apt-get install slurm-wlm munge")
    with cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


def test_the_points_of_a_sweep_are_jobs_of_a_cluster(slurm, tmp_path):
    file = write(tmp_path / "s.yaml")
    more = ("sweep.executor=slurm", "sweep.slurm.cores=1", "sweep.jobs=2")
    words = command("stage=sweep", f"sweep.file={file}", *SMALL, *more)
    env = environment() | slurm
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 jobs of SLURM at once, 1 core each" in done.stdout + done.stderr
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    found = launches.found([folder / "points"])
    assert [one.state for one in found] == ["finished", "finished"]
    jobs = [json.loads((one.folder / "job.json").read_text())["slurm"] for one in found]
    assert len(set(jobs)) == 2 and all(job.isdigit() for job in jobs)
    assert "prepare" in (found[0].folder / "out.log").read_text()
