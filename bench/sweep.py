"""A sweep of 4 × 3 points that share what they can, against twelve launches that share nothing.

    python bench/sweep.py [--quick]

cot_prob × grpo.beta on a small toy dataset. One side is `stage=sweep` with two jobs at a time, a
thread each; the other the same twelve commands, each with a store of its own, two at a time with a
thread each, so that both use both cores. What they find must be the same, and each distinct
artifact of the sweep must have been built once. Prints each stage's seconds, and the bound that
they imply: what is left if everything shared cost nothing twice. Takes about ten minutes.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from _claims import Claim, options, record

from mllmrec import launches
from mllmrec.launches import Launch

LAUNCH = Path(__file__).parent.parent / "launch.py"
JOBS = 2
CPU, WALL = 0.55, 0.45  # of the twelve launches, at most
METRIC = "eval/grpo/uni9/ndcg@5"
WORDS = [
    *("dataset.users=400", "dataset.items=120", "dataset.poster_size=16", "tracking=off"),
    *("prepare.protocols=[uni9]", "pretrain.max_steps=120", "sft.max_steps=8"),
    *("grpo.max_steps=3", "grpo.batch_size=4", "grpo.num_generations=4"),
    *("grpo.save_steps=3", "grpo.probe.samples=16", "grpo.probe.every=3", "evaluate.compare=[]"),
    "evaluate.policies=[popularity,cooccurrence,backbone_text,backbone,sft,grpo]",
    "evaluate.samples.uni9=100",
]
QUICK = ["pretrain.max_steps=2", "sft.max_steps=1", "grpo.max_steps=1"]
QUICK += ["grpo.save_steps=1", "grpo.probe=null", "dataset.users=60"]


class Spent(NamedTuple):
    """Seconds: CPU time of all processes, and wall."""

    cpu: float
    wall: float


class Clock:
    """CPU time of processes that were waited for, theirs included, and wall, since it was made."""

    def __init__(self) -> None:
        self.cpu, self.wall = children(), time.perf_counter()

    def spent(self) -> Spent:
        return Spent(children() - self.cpu, time.perf_counter() - self.wall)


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(words: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        command = [sys.executable, str(LAUNCH), *words]
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    if process.wait():
        sys.exit(f"a launch failed:\n{(folder / 'log').read_text()[-2000:]}")


def swept(grid: dict[str, list[float]], words: Sequence[str], folder: Path) -> Spent:
    """All points by ``stage=sweep``."""
    folder.mkdir(parents=True)
    command = ["${env}", "${interpreter}", "${program}", "stage=evaluate", "${args_no_hyphens}"]
    parameters = {name: {"values": values} for name, values in grid.items()}
    file = {"program": "launch.py", "command": command, "method": "grid"}
    file |= {"metric": {"name": METRIC, "goal": "maximize"}, "parameters": parameters}
    (folder / "grid.yaml").write_text("# What is shared?\n" + yaml.safe_dump(file))
    clock = Clock()
    own = ["stage=sweep", f"sweep.file={folder / 'grid.yaml'}", f"sweep.jobs={JOBS}", "threads=1"]
    finish(start([*own, f"sweep.folder={folder / 'sweep'}", *words], folder), folder)
    return clock.spent()


def apart(grid: dict[str, list[float]], words: Sequence[str], folder: Path) -> Spent:
    """All points by themselves, so many at a time; each store goes with its launch."""
    points = [
        [f"cot_prob={a}", f"grpo.beta={b}"] for a in grid["cot_prob"] for b in grid["grpo.beta"]
    ]
    clock, going = Clock(), {}
    for number, point in enumerate(points):
        own = folder / str(number)
        going[number] = start([*words, *point, "threads=1", f"hydra.run.dir={own / 'run'}"], own)
        while sum(process.poll() is None for process in going.values()) >= JOBS:
            time.sleep(0.05)
    for number, process in going.items():
        finish(process, folder / str(number))
        shutil.rmtree(folder / str(number) / "artifacts")
    return clock.spent()


def found(runs: Sequence[Launch]) -> dict[Any, Any]:
    """What every point has measured on the test, by its values."""
    return {
        (run.knob("cot_prob"), run.knob("grpo.beta")): {
            name: value for name, value in run.columns.items() if name.startswith("eval/")
        }
        for run in runs
    }


def seconds_of(runs: Sequence[Launch]) -> dict[str, list[float]]:
    """The seconds of every artifact that these launches built, by its label."""
    taken: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for step in run.told["steps"]:
            if step["seconds"] is not None:
                taken[step["label"]].append(step["seconds"])
    return taken


def tell(once: dict[str, list[float]], each: dict[str, list[float]], runs: int) -> float:
    """Print what stages took; the least share of the twelve that stages alone allow."""
    print(f"{'stage':24} {'sweep: built':>12} {'seconds':>8} {'apart: built':>12} {'seconds':>8}")
    for label, taken in each.items():
        own = once.get(label, [])
        print(f"{label:24} {len(own):12} {sum(own):8.1f} {len(taken):12} {sum(taken):8.1f}")
    share = sum(map(sum, once.values())) / sum(map(sum, each.values()))
    print(f"the stages alone: {share:.1%}; to that comes the start of {runs} launches, in both")
    return share


def main() -> None:
    args = options(__doc__, repeats=1).parse_args()
    grid = {"cot_prob": [0.0, 0.05, 0.1, 0.2], "grpo.beta": [0.02, 0.05, 0.1]}
    words = WORDS
    if args.quick:
        grid, words = {"cot_prob": [0.0, 0.1], "grpo.beta": [0.05]}, [*WORDS, *QUICK]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = swept(grid, words, folder / "ours")
        theirs = apart(grid, words, folder / "theirs")
        mine = launches.found([folder / "ours" / "sweep" / "points"])
        others = launches.found([folder / "theirs"])
        table = json.loads((folder / "ours" / "sweep" / "table.json").read_text())
        page = (folder / "ours" / "sweep" / "compare" / "compare.html").stat().st_size
    built = Counter(s["id"] for run in mine for s in run.told["steps"] if s["seconds"] is not None)
    distinct = {step["id"] for run in mine for step in run.told["steps"]}
    whole = len(table["points"]) == len(mine) == len(others) and page > 0
    equal = found(mine) == found(others) and set(built.values()) == {1} and whole
    once, each = seconds_of(mine), seconds_of(others)
    share = tell(once, each, len(mine))
    print(f"builds per artifact: {max(built.values())} at most, of {len(distinct)} distinct ones")
    figures = {
        "the sweep, s CPU": ours.cpu,
        "apart, s CPU": theirs.cpu,
        "the sweep, s wall": ours.wall,
        "apart, s wall": theirs.wall,
        "a run apart, s": max(run.told["seconds"] for run in others),
        "share of CPU": ours.cpu / theirs.cpu,
        "share of wall": ours.wall / theirs.wall,
        "share that the stages alone allow": share,
        "artifacts": len(distinct),
        "builds an artifact": max(built.values()),
    }
    size = "4 × 3 points" if not args.quick else "a few points"
    claims = [
        Claim(claim=f"{size}, {JOBS} jobs, CPU time", ratio=theirs.cpu / ours.cpu, goal=1 / CPU,
              equal=equal, ratio_wall=theirs.wall / ours.wall, figures=figures),
        Claim(claim=f"{size}, {JOBS} jobs, wall time", ratio=theirs.wall / ours.wall,
              goal=1 / WALL, equal=equal),
    ]  # fmt: skip
    record(__file__, claims, args)


if __name__ == "__main__":
    main()
