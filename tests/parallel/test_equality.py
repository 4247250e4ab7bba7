"""Two processes come to what one comes to, at the same batch: losses, weights, rankings."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from safetensors.torch import load_file

from mllmrec.artifacts import Store
from mllmrec.plan import plan
from mllmrec.stage.base import Job
from mllmrec.worker import written
from tests.launching import ROOT, SMALL, config, environment, make

pytestmark = pytest.mark.slow

STEPS = [
    f"{stage}.{knob}"
    for stage in ("pretrain", "sft", "grpo")
    for knob in ("max_steps=3", "save_steps=1", "logging_steps=1", "batch_size=8")
]
CHAIN = (*SMALL, "dataset.users=30", *STEPS, "threads=1", "cot_prob=0", "evaluate.policies=[grpo]")
CHAIN += ("evaluate.compare=[]", "grpo.probe.samples=12", "grpo.probe.every=2")
SFT = ("sft.tokens_per_batch=700",)  # in parts, not equally many on each rank
OWED = ("grpo.tokens_per_batch=700",)
BELOW = {
    "pretrain": ("sft.", "grpo.", "evaluate."),
    "sft": ("grpo.", "evaluate."),
    "grpo": ("evaluate.",),
}
WAYS = [  # what is made, under which overrides, and how its processes hold the model
    ("pretrain", (), "ddp"),
    ("sft", (), "ddp"),
    ("sft", SFT, "fsdp"),
    ("grpo", (), "ddp"),
    ("grpo", OWED, "fsdp"),
    ("grpo", ("algorithm=exact",), "ddp"),
    ("grpo", ("algorithm/rollout=sample", "algorithm.rollout.constraint=token"), "ddp"),
    ("rank grpo", (), "ddp"),
    ("rank grpo", (), "fsdp"),
    ("rank grpo", ("evaluate.protocols=[uni9,full]", "evaluate.tokens_per_batch=2000"), "ddp"),
]
OFF = 1e-6  # of a weight; rounding comes to 1e-8
NAMES = [f"{n}-{label}-{how}" for n, (label, _, how) in enumerate(WAYS)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """For each way the folder that one process made, and that which two made."""
    home = tmp_path_factory.mktemp("pairs")
    store, jobs, found = Store(root=home / "store"), [], []
    for n, (label, more, how) in enumerate(WAYS):
        words = [word for word in CHAIN if not word.startswith(BELOW.get(label, ("-",)))]
        words += [*more, *([] if label.startswith("rank") else [f"stage={label}"])]
        alone = make(store, *words)[label]
        spread = config(*words, f"parallel={how}", "parallel.processes=2")
        step = next(s for s in plan(spread, store) if s.label == label)
        assert step.folder == alone.folder, "how many processes there are is in no identity"
        groups = {name: spread.groups[name] for name in step.stage.uses}
        inputs = inputs_of(step, plan(spread, store))
        out = home / "two" / str(n) / step.id
        out.mkdir(parents=True)
        job = Job(out=out, inputs=inputs, groups=groups, seed=spread.top.seed)
        jobs.append(written(step.stage, job, spread.parallel, 1))
        found.append((alone.folder, out))
    (home / "jobs.json").write_text(json.dumps(jobs))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "tests.parallel.pair", str(home)]
    ranks = [
        subprocess.Popen(
            [*command, rank, port], cwd=ROOT, env=environment(), stderr=subprocess.PIPE
        )
        for rank in "01"
    ]
    errors = [process.communicate(timeout=300)[1].decode()[-3000:] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], "\n".join(errors)
    return dict(zip(NAMES, found, strict=True))


def inputs_of(step, steps) -> dict[str, Path]:
    folders = {one.id: one.folder for one in steps}
    return {name: folders[id] for name, id in step.inputs.items()}


@pytest.mark.parametrize("name", [n for n in NAMES if "rank" not in n])
def test_training_is_that_of_one_process(pairs, name):
    one, two = pairs[name]
    alone = json.loads((one / "history.json").read_text())
    shared = json.loads((two / "history.json").read_text())
    assert [row.keys() for row in shared] == [row.keys() for row in alone]
    assert any(row.get("grad_norm", 0) > 1e-3 for row in alone), "something was learnt"
    for a, b in zip(alone, shared, strict=True):
        assert b == pytest.approx(a, abs=1e-5, rel=1e-5)
    files = sorted(path.relative_to(one) for path in one.glob("*.safetensors"))
    assert files == sorted(path.relative_to(two) for path in two.glob("*.safetensors")) != []
    for file in files:
        mine, theirs = load_file(one / file), load_file(two / file)
        assert mine.keys() == theirs.keys()
        for key, weight in mine.items():
            off = (theirs[key] - weight).abs().max().item()
            assert off < OFF, f"{file}: {key}"


@pytest.mark.parametrize("name", [n for n in NAMES if "rank" in n])
def test_rankings_are_those_of_one_process(pairs, name):
    one, two = pairs[name]
    files = sorted(path.name for path in one.glob("*.parquet"))
    assert files == sorted(path.name for path in two.glob("*.parquet"))
    for file in files:
        alone, shared = pl.read_parquet(one / file), pl.read_parquet(two / file)
        assert shared.equals(alone), file  # to the last bit: batches are the same ones
