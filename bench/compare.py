"""A thousand launches on disk to one page: `stage=compare`, from folders to a file.

    python bench/compare.py [--quick]

One real launch of the debug chain with 1,000 test samples, and as many more made from it as are
missing: each with knobs, histories and rankings of its own (neighbours in the real ones change
places), 20 SFT models among them and a GRPO model each. Claims: page, CSV and JSON are built in
under 30 s by the command line, start included, and the page is under 15 MB with its scripts
inside; what it tells of the real launch is what that launch's own evaluation had found.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from _claims import Claim, options, record
from _measure import MB

from mllmrec.artifacts import digest
from mllmrec.launches import RUN

ROOT = Path(__file__).resolve().parents[1]
RUNS, USERS = 1000, 1000
FEWER, SMALLER = 30, 60  # of --quick
MODELS = 20  # distinct SFT models
SECONDS, MOST_MB = 30, 15
SHARED = ("sft", "merge", "rank sft")  # by runs of one cot_prob
OWN = ("grpo", "rank grpo", "evaluate")


def launch(folder: Path, *words: str) -> None:
    """``python launch.py WORDS`` in a folder, quietly."""
    command = [sys.executable, str(ROOT / "launch.py"), *words, "tracking=off"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])


def real(folder: Path, users: int) -> Path:
    """The launch that all others are made from."""
    launch(
        folder,
        *("experiment=debug", f"dataset.users={users}", "dataset.items=300"),
        *("evaluate.policies=[popularity,backbone,sft,grpo]", "grpo.max_steps=30"),
        "hydra.run.dir=runs/0000",
    )
    return folder / "runs" / "0000"


def others(first: Path, count: int) -> None:
    """Write so many launches beside the first, and artifacts beside its own."""
    told = json.loads((first / RUN).read_text(encoding="utf-8"))
    for number in range(1, count):
        rng = np.random.default_rng(number)
        cot, beta = round(number % MODELS / MODELS, 2), round(0.001 * (1 + number // MODELS), 3)
        ids: dict[str, str] = {}
        steps = [dict(step) for step in told["steps"]]
        for step in steps:
            if step["label"] in (*SHARED, *OWN):
                own = cot if step["label"] in SHARED else number
                ids[step["id"]] = digest({"of": step["id"], "by": own})
                copy(Path(step["folder"]), ids[step["id"]], ids, rng)
        steps = json.loads(replaced(json.dumps(steps), ids))
        config = told["config"] | {
            "cot_prob": cot,
            "grpo": {**told["config"]["grpo"], "beta": beta},
        }
        words = [*told["overrides"], f"cot_prob={cot}", f"grpo.beta={beta}"]
        made = first.with_name(f"{number:04}")
        made.mkdir()
        said = {**told, "steps": steps, "config": config, "overrides": words}
        (made / RUN).write_text(json.dumps(said), encoding="utf-8")


def replaced(text: str, ids: Mapping[str, str]) -> str:
    for old, new in ids.items():
        text = text.replace(old, new)
    return text


def copy(folder: Path, id: str, ids: Mapping[str, str], rng: np.random.Generator) -> None:
    """An artifact like this one under another id: what it says, a history, rankings."""
    made = folder.with_name(id)
    if made.exists():
        return
    made.mkdir()
    for name in ("manifest.json", "results.json", "history.json"):
        if (folder / name).is_file():
            (made / name).write_text(replaced((folder / name).read_text(), ids))
    for file in folder.glob("*.parquet"):
        table = pl.read_parquet(file)
        if "ranked" in table.columns:
            shaken(table, rng).write_parquet(made / file.name)


def shaken(table: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Rankings in which two neighbours of every list have changed places."""
    ranked = np.array(table["ranked"].to_list())
    rank, rows = table["rank"].to_numpy().copy(), np.arange(len(ranked))
    place = rng.integers(ranked.shape[1] - 1, size=len(ranked))
    upper = ranked[rows, place].copy()
    ranked[rows, place], ranked[rows, place + 1] = ranked[rows, place + 1], upper
    up, down = rank == place + 2, rank == place + 1
    rank[up] -= 1
    rank[down] += 1
    return table.with_columns(ranked=pl.Series(ranked.tolist()), rank=pl.Series(rank))


def timed(folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of the command."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    launch(folder, "stage=compare", "compare.folders=[runs]", "compare.out=told")
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return wall, spent


def agrees(folder: Path, first: Path) -> bool:
    """Whether the first run's values are those that its evaluation had found."""
    data: dict[str, Any] = json.loads((folder / "told" / "compare.json").read_text())
    columns: dict[str, float] = json.loads((first / RUN).read_text())["columns"]
    place = [run["name"] for run in data["runs"]].index(first.name)
    found = {key: values["mean"][place] for key, values in data["values"].items()}
    near = partial(np.isclose, rtol=1e-3)  # the page keeps four digits
    return bool(found) and all(near(mean, columns[f"eval/{key}"]) for key, mean in found.items())


def main() -> None:
    args = options(__doc__).parse_args()
    count, users = (FEWER, SMALLER) if args.quick else (RUNS, USERS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = real(folder, users)
        others(first, count)
        wall, cpu = timed(folder)
        told = folder / "told"
        sizes = {path.suffix[1:]: path.stat().st_size / MB for path in told.iterdir()}
        is_equal = agrees(folder, first)
    named = f"{count} runs of {users} samples"
    record(
        __file__,
        [
            Claim(
                claim=f"{named}, folders to page: {SECONDS} s by ours",
                ratio=SECONDS / wall,
                goal=1.0,
                equal=is_equal,
                figures={"ours, s wall": wall, "ours, s CPU": cpu},
            ),
            Claim(
                claim=f"{named}: {MOST_MB} MB by the page's size",
                ratio=MOST_MB / sizes["html"],
                goal=1.0,
                figures={f"{kind}, MB": size for kind, size in sizes.items()},
            ),
        ],
        args,
    )


if __name__ == "__main__":
    main()
