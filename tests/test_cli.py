"""The command line as a user types it: every test runs ``python launch.py`` in a folder."""

import json
import re
import subprocess
import sys

from mllmrec.artifacts import Store
from tests.launching import ROOT, SMALL, command, config, environment, launch, told

PREPARE = ("stage=prepare", *SMALL)

# What a launch has imported when it ends, told on the last line of stderr.
PROBED = """
import atexit, runpy, sys
heavy = ("torch", "wandb", "transformers", "trl", "peft", "datasets", "scipy", "polars")
tell = lambda: print("loaded", *(n for n in heavy if n in sys.modules), file=sys.stderr)
atexit.register(tell)
sys.argv[0:2] = [sys.argv[1]]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def loaded(*words, cwd):
    call = [sys.executable, "-c", PROBED, str(ROOT / "launch.py"), *words]
    done = subprocess.run(call, cwd=cwd, env=environment(), capture_output=True, text=True)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("loaded")]
    return done, set(line.split()[1:])


def artifacts(folder):
    return sorted(a.id for a in Store(root=folder / "artifacts"))


def test_help_is_readable_and_loads_nothing_heavy(tmp_path):
    done, heavy = loaded("--help", cwd=tmp_path)
    assert done.returncode == 0 and not heavy & {"torch", "wandb", "transformers"}
    for part in (
        "stage=NAME is the goal.",
        "python launch.py -m",
        "reward: hit, hit_format",
        "toy",
    ):
        assert part in done.stdout, part
    groups = re.compile("(stage|algorithm|experiment|sweep):")  # Hydra writes each into one line
    told = [line for line in done.stdout.splitlines() if not groups.match(line)]
    assert all(len(line) <= 100 for line in told)
    assert list(tmp_path.iterdir()) == []


def test_each_stage_that_help_names_can_be_chosen():
    help = (ROOT / "conf" / "config.yaml").read_text()
    named = help[help.index("The stages are a chain:") : help.index("stage=NAME is the goal")]
    named = named.replace(",", " ").replace(".", " ").split()[5:]
    assert len(named) > 10
    for stage in named:
        assert config(f"stage={stage}").top.goal == stage


def test_a_refused_override_loads_nothing_heavy_and_leaves_nothing(tmp_path):
    done, heavy = loaded("sft.lerning_rate=1", "seed=1", cwd=tmp_path)
    line = told(done)
    assert "sft.lerning_rate: unknown knob" in line
    assert line.endswith("type sft.learning_rate=VALUE")
    assert not heavy & {"torch", "wandb", "transformers"}
    assert list(tmp_path.iterdir()) == []


def test_a_bad_point_of_a_grid_is_refused_before_the_first_job(tmp_path):
    line = told(launch("-m", "seed=1,-2", *PREPARE, cwd=tmp_path))
    assert "seed=-2: input should be greater than or equal to 0" in line
    assert list(tmp_path.iterdir()) == []


def test_the_config_is_shown_as_a_job_gets_it(tmp_path):
    done = launch("--cfg", "job", "stage=sft", "cot_prob=0.25", "--resolve", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert "goal: sft" in shown and "  cot_prob: 0.25" in shown
    assert not any(line.startswith("grpo:") for line in shown)
    assert list(tmp_path.iterdir()) == []


def test_shell_completion_can_be_installed(tmp_path):
    done = launch("--shell-completion", "install=bash", cwd=tmp_path)
    assert done.returncode == 0 and "complete" in done.stdout


def test_a_plan_builds_nothing(tmp_path):
    words = ("experiment=debug", "stage=prepare", "plan_only=true", "tracking=off")
    done = launch(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "prepare" in done.stdout and "not built yet" in done.stdout
    assert (
        "set by the experiment, not part of this goal: evaluate, grpo, pretrain, sft" in done.stdout
    )
    assert not (tmp_path / "artifacts").exists()


def test_build_reuse_ls_gc(tmp_path):
    """A user's afternoon: two launches at once, a third, a look at the store, and a clean-up."""
    two = [
        subprocess.Popen(
            command(*PREPARE),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in two]
    assert [process.returncode for process in two] == [0, 0], said
    assert sum("best possible" in text for text in said) == 1  # one built it, one did not
    (id,) = artifacts(tmp_path)
    runs = list((tmp_path / "outputs").glob("*/*"))
    assert len(runs) == 2  # though both may have begun in one second

    again = launch(*PREPARE, "dataset.noun=film", cwd=tmp_path)
    assert f"[1/1] prepare {id}: reused" in again.stdout + again.stderr
    listed = launch("stage=ls", cwd=tmp_path).stdout
    assert id in listed and "1 artifacts" in listed

    (tmp_path / "outputs").rename(tmp_path / "gone")
    line = told(launch("stage=gc", cwd=tmp_path, stdin=subprocess.DEVNULL))
    assert "no terminal" in line and "type yes=true" in line and artifacts(tmp_path) == [id]
    done = launch("stage=gc", "yes=true", cwd=tmp_path)
    assert done.returncode == 0 and artifacts(tmp_path) == []


def test_a_grid_runs_every_point_in_a_folder_of_its_own(tmp_path):
    done = launch("-m", "seed=1,2", *PREPARE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(artifacts(tmp_path)) == 2
    (sweep,) = (tmp_path / "multirun").glob("*/*")
    assert {p.name for p in sweep.iterdir() if p.is_dir()} == {"0", "1"}


def test_choices_of_ones_own_from_the_environment(tmp_path):
    own = tmp_path / "own"
    (own / "dataset").mkdir(parents=True)
    mine = "defaults: [toy]\nusers: 60\nitems: 120\nposter_size: 16\n"
    (own / "dataset" / "mine.yaml").write_text(mine)
    words = ("dataset=mine", "stage=prepare", "prepare.protocols=[uni9]", "tracking=off")
    done = launch(*words, cwd=tmp_path, MLLMREC_CONF=str(own))
    assert done.returncode == 0, done.stderr
    (id,) = artifacts(tmp_path)
    said = tmp_path / "artifacts" / "toy" / "prepare" / id / "manifest.json"
    assert json.loads(said.read_text())["identity"]["groups"]["dataset"]["users"] == 60


def test_a_traceback_is_shown_when_asked_for(tmp_path):
    words = ("stage=prepare", "dataset=movietweetings", "dataset.path=nowhere", "tracking=off")
    done = launch(*words, cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert "dataset.path: no folder 'nowhere'" in done.stderr


def test_an_interrupted_launch_ends_in_one_line(tmp_path):
    """Hydra lets Ctrl-C through as a traceback; 130 is what a shell expects."""
    code = """
import runpy, sys, mllmrec.runner
def stop(*_):
    raise KeyboardInterrupt
mllmrec.runner.launch = stop
sys.argv[0:1] = []
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    call = [sys.executable, "-c", code, str(ROOT / "launch.py"), "stage=ls"]
    done = subprocess.run(call, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "mllmrec: interrupted; repeat the command to go on\n"


def test_several_processes_are_refused(tmp_path):
    done = launch("stage=prepare", *SMALL, cwd=tmp_path, WORLD_SIZE="2")
    assert "a launch is one process, it starts the others" in told(done)
    assert not (tmp_path / "artifacts").exists()
