"""``stage=sweep`` as people type it: whole, killed and repeated, failed, edited in the middle."""

import csv
import json
import os
import shlex
import signal
import statistics
import subprocess
import time

import pytest

from mllmrec import launches, locks
from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.sweep.whole import run_sweep
from tests.launching import SMALL, asked, command, environment, launch, told
from tests.sweep.files import END, START, write

METRIC = "prepare/oracle/uni9/ndcg@5"
PREPARE = SMALL
# The chain in a few seconds a point: no recommender, no control, few policies.
CHAIN = ("experiment=debug", "dataset.poster_size=16", "tracking=off")
CHAIN += ("evaluate.policies=[popularity,sft,grpo]", "evaluate.compare=[]")
CHAIN += ("evaluate.samples.uni9=20",)


def sweep(file, *words, cwd, **more):
    return launch("stage=sweep", f"sweep.file={file}", *words, cwd=cwd, **more)


def folder_of(cwd):
    (found,) = (cwd / "outputs" / "sweeps").iterdir()
    return found


def table_of(cwd):
    return json.loads((folder_of(cwd) / "table.json").read_text())


def states(folder):
    found = launches.found([folder / "points"])
    return {int(one.folder.name): one.state for one in found}


def began(folder):
    """When each point's launch began, which tells whether it was launched again."""
    return {one.folder.name: one.told["began"] for one in launches.found([folder / "points"])}


def refused(tmp_path, file, *words):
    with pytest.raises(Refusal) as refusal:
        given = asked(
            Store(root=tmp_path / "artifacts"), "stage=sweep", f"sweep.file={file}", *words
        )
        run_sweep(given.config.goal, given)
    assert refusal.value.allowed and refusal.value.do
    return refusal.value


def test_a_sweeps_plan_is_told_and_nothing_begins(tmp_path):
    done = sweep(write(tmp_path / "a.yaml"), *PREPARE, "plan_only=true", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs; 2 artifacts to build, each once" in done.stdout
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.slow
def test_a_sweep_runs_every_point_and_tells_it_in_one_table(tmp_path):
    file = write(tmp_path / "lengths.yaml", question="How long a history?")
    done = sweep(file, *PREPARE, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = folder_of(tmp_path)
    assert states(folder) == {0: "finished", 1: "finished"}
    said = done.stdout + done.stderr
    assert "How long a history?" in said and "2 runs, 0 of them done; 2 artifacts" in said
    assert "1 thread" in said and "again by" in said and "\r" not in said and "\x1b" not in said
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert {row["prepare.history_length"] for row in rows} == {"3", "5"}
    found = {one.knob("prepare.history_length"): one.columns[METRIC]
             for one in launches.found([folder / "points"])}  # fmt: skip
    assert {int(r["prepare.history_length"]): float(r[METRIC]) for r in rows} == found
    assert [float(row[METRIC]) for row in rows] == sorted(found.values(), reverse=True)


def test_a_point_is_refused_before_the_first_one_begins(tmp_path):
    file = write(tmp_path / "bad.yaml", parameters={"prepare.history_length": {"values": [3, -1]}})
    refusal = refused(tmp_path, file, *PREPARE)
    assert "point 2 (prepare.history_length=-1)" in refusal.wrong
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        ([], {"metric": {"name": "eval/grpo/uni9/ndcg@5"}}, "stage=prepare evaluates nothing"),
        ([], {"metric": {"name": "sft/loss"}}, "no column of stage=prepare"),
        ([], {"metric": {"name": METRIC.replace("ndcg", "ndgc")}}, "ndgc@5 is no measure"),
        ([], {"metric": {"name": "prepare/oracle/uni8/mrr"}}, "uni8 is not of prepare.protocols"),
        (["parallel=ddp", "parallel.processes=2"], {}, "a run of a sweep has one GPU"),
        (["prepare.history_length=4"], {}, "the sweep's file varies prepare.history_length"),
        (["force=[prepare]"], {}, "every point would build that anew"),
        ([], {"method": "bayes"}, "how many points?"),
        ([], {"early_terminate": {"type": "hyperband", "min_iter": 1}}, "no probe looks at it"),
        (["sweep.jobs=3", "sweep.gpus=[0,1]"], {}, "there are 2 GPUs (0, 1)"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_begins(tmp_path, words, more, said):
    file = write(tmp_path / "bad.yaml", **more)
    assert said in refused(tmp_path, file, *PREPARE, *words).wrong


def test_a_command_is_no_goal_of_a_point(tmp_path):
    seeds = {"seed": {"values": [1]}}
    file = write(tmp_path / "bad.yaml", command=[*START, "stage=ls", *END], parameters=seeds)
    assert "stage=ls: a command" in refused(tmp_path, file, "tracking=off").wrong


def test_an_evaluation_that_lacks_the_metric_is_told_which_there_are(tmp_path):
    whole = [*START, "stage=evaluate", *END]
    for name, said in [
        ("eval/gpro/uni9/ndcg@5", "gpro is not of evaluate.policies"),
        ("eval/grpo/uni99/ndcg@5", "uni99 is not of evaluate.protocols"),
        ("eval/grpo/uni9/ndcg@7", "ndcg@7 is not of evaluate.k"),
    ]:
        metric = {"name": name, "goal": "maximize"}
        file = write(tmp_path / "bad.yaml", command=whole, metric=metric)
        assert said in refused(tmp_path, file, *PREPARE, "plan_only=true").wrong


def test_a_sweep_that_nobody_named_is_asked_for(tmp_path):
    with pytest.raises(Refusal, match="which sweep") as refusal:
        given = asked(Store(root=tmp_path), "stage=sweep")
        run_sweep(given.config.goal, given)
    assert "type sweep=NAME" in refusal.value.do


@pytest.mark.parametrize("name", ["WANDB_SWEEP_ID", "WANDB_RUN_ID"])
def test_a_sweep_under_a_wandb_agent_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "abc")
    refusal = refused(tmp_path, write(tmp_path / "a.yaml"), *PREPARE)
    assert "every point would log into that one run" in refusal.wrong and name in refusal.do


@pytest.mark.slow
def test_shipped_sweeps_are_choices_and_a_plan_builds_nothing(tmp_path):
    done = launch("stage=sweep", "sweep=cot_prob_x_beta", "experiment=debug", "plan_only=true",
                  "tracking=off", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "12 runs; 73 artifacts to build, each once" in done.stdout
    assert not (tmp_path / "artifacts").exists() and not list(tmp_path.rglob("frozen"))
    assert "sweep=bta: there is no such choice" in told(
        launch("stage=sweep", "sweep=bta", cwd=tmp_path)
    )
    assert "type stage=sweep" in told(launch("sweep=beta", cwd=tmp_path))
    assert "cot_prob_x_beta" in launch("--help", cwd=tmp_path).stdout


@pytest.mark.slow
def test_seeds_are_averaged_with_students_interval(tmp_path):
    parameters = {"prepare.history_length": {"values": [3]}, "seed": {"values": [1, 2, 3]}}
    done = sweep(write(tmp_path / "s.yaml", parameters=parameters), *PREPARE, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = table_of(tmp_path)["points"]
    found = [one.columns[METRIC] for one in launches.found([folder_of(tmp_path) / "points"])]
    half = 4.302652729749464 * statistics.stdev(found) / 3**0.5  # t of 2 degrees, 97.5 %
    assert len(set(found)) == 3 and row["seeds"] == 3
    assert row["mean"] == pytest.approx(statistics.mean(found))
    assert row["high"] - row["mean"] == pytest.approx(half)
    assert row["mean"] - row["low"] == pytest.approx(half)
    words = shlex.split(table_of(tmp_path)["best"])
    assert words[:3] == ["python", "launch.py", "-m"] and "seed=1,2,3" in words
    assert "prepare.history_length=3" in words and "threads=1" in words


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_with_what_is_missing(tmp_path):
    """Killed without a word in the middle; then the same command, and once more with nothing."""
    parameters = {"prepare.history_length": {"values": [3, 4, 5]}}
    file = write(tmp_path / "s.yaml", parameters=parameters)
    words = ["stage=sweep", f"sweep.file={file}", *PREPARE]
    with subprocess.Popen(
        command(*words), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        until = time.monotonic() + 90
        while (
            not list(tmp_path.rglob("points/*/run.json"))
            or "finished" not in states(folder_of(tmp_path)).values()
        ):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        process.kill()
    folder = folder_of(tmp_path)
    before = {n: when for n, when in began(folder).items() if states(folder)[int(n)] == "finished"}
    assert 0 < len(before) < 3
    done = launch(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(states(folder).values()) == {"finished"} and len(states(folder)) == 3
    assert before.items() <= began(folder).items()  # what was done was not launched again
    one, again = table_of(tmp_path), launch(*words, cwd=tmp_path)
    assert table_of(tmp_path) == one and "3 runs, 3 of them done" in again.stdout + again.stderr
    assert "begins" not in again.stdout + again.stderr
    (fresh := tmp_path / "fresh").mkdir()
    assert sweep(file, *PREPARE, cwd=fresh).returncode == 0
    assert [(p["values"], p["mean"]) for p in one["points"]] == [
        (p["values"], p["mean"]) for p in table_of(fresh)["points"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_ends_its_points(tmp_path, number, code):
    file = write(tmp_path / "s.yaml")
    process = subprocess.Popen(
        command("stage=sweep", f"sweep.file={file}", *PREPARE),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + 60
    while not (jobs := list(tmp_path.glob("outputs/sweeps/*/points/*/job.json"))):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=90)
    assert process.returncode == code and "Traceback" not in said, said
    assert "repeat the command to go on" in said
    for job in jobs:
        held = json.loads(job.read_text())
        assert locks.process_start(held["pid"]) != held["start"]


@pytest.mark.slow
def test_a_failed_point_is_told_and_tried_again_and_the_others_run(tmp_path):
    """Its run folder cannot be made: a file stands there, until somebody takes it away."""
    file = write(tmp_path / "s.yaml")
    words = [*PREPARE, f"sweep.folder={tmp_path / 'mine'}"]
    (tmp_path / "mine" / "points" / "0").mkdir(parents=True)
    (tmp_path / "mine" / "points" / "0" / ".hydra").write_text("in the way")
    (tmp_path / "mine" / "points" / "0" / "run.json").mkdir()
    line = told(sweep(file, *words, cwd=tmp_path))
    assert "1 of 2 runs failed; prepare.history_length=3" in line and "repeat the command" in line
    rows = json.loads((tmp_path / "mine" / "table.json").read_text())["points"]
    assert [row["mean"] is None for row in rows] == [False, True]
    (tmp_path / "mine" / "points" / "0" / ".hydra").unlink()
    (tmp_path / "mine" / "points" / "0" / "run.json").rmdir()
    done = sweep(file, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert states(tmp_path / "mine") == {0: "finished", 1: "finished"}
    other = write(tmp_path / "other.yaml", parameters={"prepare.min_history": {"values": [2]}})
    assert "another sweep, began there" in told(sweep(other, *words, cwd=tmp_path))


@pytest.mark.slow
def test_points_are_composed_from_the_configs_as_they_were(tmp_path):
    """An own dataset, edited after the sweep has begun: its points go on with what it was."""
    own = tmp_path / "own"
    (own / "dataset").mkdir(parents=True)
    mine = own / "dataset" / "mine.yaml"
    mine.write_text("defaults: [toy]\nusers: 60\nitems: 120\nposter_size: 16\n")
    file = write(tmp_path / "s.yaml")
    words = ["dataset=mine", "prepare.protocols=[uni9]", "tracking=off"]
    env = {"MLLMREC_CONF": str(own)}
    assert sweep(file, *words, "sweep.trials=1", cwd=tmp_path, **env).returncode == 0
    mine.write_text("defaults: [toy]\nusers: 70\nitems: 120\nposter_size: 16\n")
    done = sweep(file, *words, cwd=tmp_path, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    found = launches.found([folder_of(tmp_path) / "points"])
    assert [one.knob("dataset.users") for one in found] == [60, 60]
    assert "changed since and not heeded" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_search_is_bounded_and_the_same_when_it_is_repeated(tmp_path):
    parameters = {"prepare.history_length": {"min": 3, "max": 8}, "seed": {"values": [1, 2]}}
    file = write(tmp_path / "s.yaml", method="bayes", run_cap=4, parameters=parameters)
    assert sweep(file, *PREPARE, cwd=tmp_path).returncode == 0
    rows = table_of(tmp_path)["points"]
    assert len(rows) == 2 and all(row["seeds"] == 2 for row in rows)
    (other := tmp_path / "other").mkdir()
    (other / "outputs" / "sweeps").mkdir(parents=True)
    done = sweep(file, *PREPARE, "sweep.trials=3", cwd=tmp_path)  # the file's cap still counts
    assert done.returncode == 0 and table_of(tmp_path)["points"] == rows
    assert sweep(file, *PREPARE, cwd=other).returncode == 0
    assert [row["values"] for row in table_of(other)["points"]] == [r["values"] for r in rows]


@pytest.mark.slow
def test_the_chain_is_shared_and_compared_and_one_that_is_behind_is_stopped(tmp_path):
    """Two betas share all but GRPO; what was built is counted; the page and W&B's run are there."""
    command = [*START, "stage=evaluate", "tracking=online", *END]
    file = write(
        tmp_path / "s.yaml",
        question="Which beta?",
        command=command,
        metric={"name": "eval/grpo/uni9/ndcg@5", "goal": "maximize"},
        parameters={"grpo.beta": {"values": [0.02, 0.1]}},
    )
    words = [word for word in CHAIN if word != "tracking=off"]
    done = sweep(file, *words, "cot_prob=0", cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = folder_of(tmp_path)
    found = launches.found([folder / "points"])
    built = [s["id"] for one in found for s in one.told["steps"] if s["seconds"] is not None]
    kinds = [s["stage"] for one in found for s in one.told["steps"] if s["seconds"] is not None]
    assert len(built) == len(set(built)) and kinds.count("sft") == 1 and kinds.count("grpo") == 2
    assert (folder / "compare" / "compare.html").stat().st_size > 1e6
    assert {one.told["config"]["tracking"]["group"] for one in found} == {"s"}
    assert {*json.loads((folder / "wandb.json").read_text())} >= {"id", "path"}
    row = table_of(tmp_path)["points"][0]
    assert row["low"] < row["mean"] < row["high"]  # the test's own interval, of one seed


@pytest.mark.slow
def test_a_run_that_is_behind_on_the_probe_is_stopped_and_not_tried_again(tmp_path):
    """The goal is the lowest NDCG, which the one that does not learn keeps."""
    file = write(
        tmp_path / "s.yaml",
        command=[*START, "stage=sft", *END],
        metric={"name": "sft/probe/ndcg@5", "goal": "minimize"},
        early_terminate={"type": "hyperband", "min_iter": 1},
        parameters={"sft.learning_rate": {"values": [1.0e-9, 0.01]}},
    )
    words = [*CHAIN[:3], "cot_prob=0", "sft.max_steps=40", "sft.save_steps=40", "threads=1"]
    words += ["sft.probe={samples: 8, protocol: uni9, every: 2, keep: best}", "sweep.jobs=1"]
    words += ["sft.warmup_steps=0"]
    done = sweep(file, *words, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = table_of(tmp_path)["points"]
    assert (first["state"], second["state"], second["mean"]) == ("finished", "stopped", None)
    looks = [
        len((folder_of(tmp_path) / "points" / str(n) / "probe.jsonl").read_text().splitlines())
        for n in range(2)
    ]
    assert looks[0] == 21 and 0 < looks[1] < 21
    again = sweep(file, *words, cwd=tmp_path)
    assert again.returncode == 0 and "begins" not in again.stdout + again.stderr


@pytest.mark.slow
def test_two_launches_race_for_one_artifact_and_one_is_killed(tmp_path):
    """Who holds the lock is killed without a word; who waits takes over and finishes."""
    words = ["stage=pretrain", *CHAIN[:3], "pretrain.max_steps=200", "pretrain.save_steps=20"]
    two = [
        subprocess.Popen(
            command(*words, f"hydra.run.dir={tmp_path / name}"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    until = time.monotonic() + 120
    while not (held := list(tmp_path.glob("artifacts/toy/pretrain/.partial-*/*"))):
        assert time.monotonic() < until
        time.sleep(0.02)
    lock = f".lock-{held[0].parent.name.removeprefix('.partial-')}"
    holder = json.loads((tmp_path / "artifacts/toy/pretrain" / lock).read_text())["pid"]
    (loser,) = [process for process in two if process.pid == holder]
    (winner,) = [process for process in two if process.pid != holder]
    time.sleep(2)
    os.kill(holder, signal.SIGKILL)
    loser.communicate(timeout=30)
    said, _ = winner.communicate(timeout=200)
    assert winner.returncode == 0, said
    assert "taking over" in said
    (built,) = [a for a in Store(root=tmp_path / "artifacts") if a.folder.parent.name == "pretrain"]
    assert built.is_readable and not list(tmp_path.rglob(".partial-*"))
