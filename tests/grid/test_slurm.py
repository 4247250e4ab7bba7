"""A real SLURM of one node: jobs that share what they can, and stages that wait for others."""

import subprocess
import time

import pytest

from mllmrec import launches
from mllmrec.grid import jobs
from tests.grid.cluster import cluster, missing, told
from tests.launching import SMALL, command, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing()), reason=f"no {', '.join(missing())}: apt install slurm-wlm munge"
    ),
]
ON_SLURM = ("-m", "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null")
ON_SLURM += ("hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=5")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield {**environment(), **found}


def run(*words, cwd, env, **more):
    return subprocess.Popen(
        command(*ON_SLURM, *words, *SMALL),
        cwd=cwd,
        env={**env, **more},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_two_jobs_build_each_artifact_once(slurm, tmp_path):
    words = ("experiment=debug", "stage=sft", "sft.learning_rate=0.001,0.002")
    began = run(*words, "hydra.sweep.dir=grid", cwd=tmp_path, env=slurm)
    out, _ = began.communicate(timeout=280)
    assert began.returncode == 0, out
    notes = jobs.notes(tmp_path / "grid")
    assert [note.state for note in notes] == ["done", "done"]
    found = launches.found([tmp_path / "grid"])
    steps = [step for launch in found for step in launch.told["steps"]]
    built = [step["id"] for step in steps if step["seconds"] is not None]
    assert sorted(built) == sorted({step["id"] for step in steps}), "each once, by one of the two"
    assert len({step["id"] for step in steps if step["label"] == "sft"}) == 2
    assert {launch.told["config"]["tracking"]["group"] for launch in found} == {"grid"}
    assert "jobs: 2, 8 at once on SLURM" in out
    assert "2 of 2 done, 0 running, 0 left" in out
    table = out.split("what sets it apart")[1]
    assert "sft.learning_rate=0.001" in table and "sft.learning_rate=0.002" in table


def test_a_stage_waits_for_the_job_that_it_stands_on(slurm, tmp_path):
    """As chains are run on clusters: the second is submitted while the first has not ended."""
    gate = 'hydra.launcher.setup=["until [ -e go ]; do sleep 0.2; done"]'
    first = run("stage=prepare", gate, "hydra.sweep.dir=one", cwd=tmp_path, env=slurm)
    assert first.stdout
    line = next(line for line in first.stdout if line.startswith("SLURM job "))
    number = line.split()[2].rstrip(":")
    after = f'+hydra.launcher.additional_parameters.dependency="afterok:{number}"'
    assert f"'{after}'" in line
    second = run("stage=caption", after, "hydra.sweep.dir=two", cwd=tmp_path, env=slurm)
    while "Dependency" not in told(slurm, "squeue", "-h", "-o", "%r"):
        assert second.poll() is None, second.communicate()[0]
        time.sleep(0.3)
    assert not jobs.notes(tmp_path / "two")
    (tmp_path / "go").touch()
    out, _ = second.communicate(timeout=120)
    assert second.returncode == 0, out
    first.communicate(timeout=60)
    assert first.returncode == 0
    (one,), (two,) = jobs.notes(tmp_path / "one"), jobs.notes(tmp_path / "two")
    assert one.ended and one.ended <= two.began
    prepare, caption = launches.read(two.folder).told["steps"]
    assert (prepare["action"], prepare["seconds"]) == ("reuse", None)
    assert caption["action"] == "build"
    assert prepare["id"] == launches.read(one.folder).told["steps"][0]["id"]


def test_jobs_that_fail_are_told_and_the_others_run(slurm, tmp_path):
    (tmp_path / "bad.csv").write_text("item,text\nno such item,words\n")
    words = ("stage=caption", "caption.adopt=bad.csv,null", "hydra.sweep.dir=grid")
    began = run(*words, cwd=tmp_path, env=slurm)
    out, _ = began.communicate(timeout=120)
    assert began.returncode == 1, out
    assert [note.state for note in jobs.notes(tmp_path / "grid")] == ["failed", "done"]
    assert "mllmrec: " in out and "1 of 2 done, 1 failed" in out
