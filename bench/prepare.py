"""Prepare by the command line: seconds, memory, and whether cost grows with the interactions alone.

    python bench/prepare.py [--full] [--data DIR] [--quick]

Made-up ratings in the files and the shape of MovieLens 20M (`bench/_movielens.py`) are prepared
with the default filters and protocols, in processes of their own: 2 million, by `bench/_plain.py`
too (Polars on strings, all tables whole in memory), whose tables must be the same; 20 million; and
with --full 100 million (2.7 GB of text, below the system's folder for temporary files or in DIR,
where files are kept and found again; minutes).
Memory is the peak of all processes of a command together; the time of a command is wall, its start
included, and so hangs on what else the machine does: the load is said beside it.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from math import log10
from pathlib import Path
from typing import NamedTuple

import polars as pl
from _claims import Claim, options, record
from _movielens import write
from captions import Tree

ROOT = Path(__file__).parents[1]
MILLION = 1_000_000
SMALL, QUICK = 2, 0.05  # millions
GOALS = {20: (90.0, 4.0), 100: (480.0, 8.0)}  # seconds and GB
FILES = ("sequences", "train", "validation", "test")


class Run(NamedTuple):
    """Seconds in wall and of CPU, MB at the peak, and the machine's load before and after."""

    wall: float
    cpu: float
    mb: float
    load: tuple[float, float]

    def figures(self, who: str) -> dict[str, float]:
        told = {"s wall": self.wall, "s CPU": self.cpu, "GB at the peak": self.mb / 1e3}
        named = {f"{who}, {name}": value for name, value in told.items()}
        return named | {f"{who}, load before": self.load[0], f"{who}, load after": self.load[1]}


def measured(command: Sequence[str | Path], folder: Path) -> Run:
    """Run a command in a folder of its own; its output is shown where it fails."""
    folder.mkdir()
    before, load = children(), os.getloadavg()[0]
    began = time.perf_counter()
    with Tree() as tree:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    wall = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return Run(wall, children() - before, tree.mb, (load, os.getloadavg()[0]))


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def launched(data: Path, folder: Path) -> tuple[Run, Path]:
    """The stage by the command line, and the folder that it published."""
    words = ["stage=prepare", "dataset=movielens", f"dataset.path={data}", "seed=42"]
    run = measured([ROOT / "launch.py", *words, "tracking=off"], folder)
    (manifest,) = folder.glob("artifacts/*/prepare/*/manifest.json")
    return run, manifest.parent


def against_plain(data: Path, folder: Path, ours: Run, made: Path) -> list[Claim]:
    """Both sides at one size: the same tables, their time and their memory."""
    plain = folder / "plain"
    theirs = measured([ROOT / "bench" / "_plain.py", data / "ratings.csv", "."], plain)
    is_equal = all(
        pl.read_parquet(plain / f"{name}.parquet").equals(pl.read_parquet(made / f"{name}.parquet"))
        for name in FILES
    )
    figures = {**ours.figures("ours"), **theirs.figures("plain")}
    return [
        Claim(
            claim="against plain Polars on strings: CPU time, ours with the start of the program",
            ratio=theirs.cpu / ours.cpu,
            ratio_wall=theirs.wall / ours.wall,
            equal=is_equal,
            figures=figures,
        ),
        Claim(
            claim="against plain Polars on strings: memory at the peak",
            ratio=theirs.mb / ours.mb,
            goal=1.0,
            equal=is_equal,
        ),
    ]


def within(millions: int, run: Run) -> list[Claim]:
    seconds, gb = GOALS[millions]
    return [
        Claim(
            claim=f"{millions} million: {seconds:g} s by what it took in wall",
            ratio=seconds / run.wall,
            goal=1.0,
            figures=run.figures("ours"),
        ),
        Claim(
            claim=f"{millions} million: {gb:g} GB by the peak of memory",
            ratio=gb * 1e3 / run.mb,
            goal=1.0,
        ),
    ]


def growth(runs: dict[float, Run]) -> list[Claim]:
    """CPU time from one size to the next by what it would be if it grew as the size does."""
    claims = []
    for less, more in pairwise(sorted(runs)):
        grown = runs[more].cpu / runs[less].cpu
        claims.append(
            Claim(
                claim=f"from {less:g} to {more:g} million: growth of size by that of CPU time",
                ratio=more / less / grown,
                goal=0.9,
                figures={"exponent": log10(grown) / log10(more / less)},
            )
        )
    return claims


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--full", action="store_true", help="100 million too")
    parser.add_argument("--data", type=Path, help="where the ratings are kept, else thrown away")
    args = parser.parse_args()
    sizes: list[float] = [QUICK] if args.quick else [SMALL, *GOALS][: 3 if args.full else 2]
    runs: dict[float, Run] = {}
    claims: list[Claim] = []
    for millions in sizes:
        with tempfile.TemporaryDirectory() as folder:
            data = (args.data or Path(folder)).resolve() / f"{millions:g}m"
            if not data.exists():
                data.mkdir(parents=True)
                write(data, round(millions * MILLION))
            runs[millions], made = launched(data, Path(folder) / "ours")
            if millions in (SMALL, QUICK):
                claims += against_plain(data, Path(folder), runs[millions], made)
        if millions in GOALS:
            claims += within(int(millions), runs[millions])
    record(__file__, [*claims, *growth(runs)], args)


if __name__ == "__main__":
    main()
