"""SASRec here and in an independent library, on the same split and the same candidates.

    python bench/sasrec.py --data DIR [--seeds N] [--epochs N] [--quick]

DIR holds MovieTweetings 100K. Both learn from the same training interactions, 9 items of history,
full softmax, 2 blocks, width 64; both keep the epoch of the best NDCG@10 on validation, and rank
the same 100 candidates of each test user. Claims that HR@10 and NDCG@10 are as good: the ratio is
ours by theirs, and they are equal if they differ by at most two standard errors, over users and
over seeds. The library (RecTools) gets an environment of its own in the cache folder, made the
first time; where it cannot be installed the script says so and ends with 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _claims import Claim, options, record
from _setup import CONF
from hydra import initialize_config_dir

from mllmrec import ranking
from mllmrec.artifacts import Store
from mllmrec.build import carry_out
from mllmrec.compose import compose_one
from mllmrec.plan import plan
from mllmrec.policy.baselines import column_of
from mllmrec.recommender.fitted import catalogue_of, run_fit
from mllmrec.records import Prepared

LIBRARY = ("rectools[torch]==0.19.0", "torch>=2.6,<2.14")
HISTORY, PROTOCOL, K = 9, "uni99", 10
WORKER = Path(__file__).with_name("_rectools.py")
LENGTH = HISTORY + 1  # of a training row: the history and the next item


def environment() -> Path:
    """The Python of an environment with the library."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "mllmrec" / "rectools-0.19.0"
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        print(f"making {folder} for {LIBRARY[0]}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        done = subprocess.run([python, "-m", "pip", "install", "-q", *LIBRARY])
        if done.returncode:
            sys.exit(f"sasrec.py: {LIBRARY[0]} cannot be installed here, so nothing is compared")
        whole.touch()
    return python


def prepared(data: Path, folder: Path) -> tuple[Any, Prepared]:
    """The config, and the split that both sides learn from."""
    words = ["stage=prepare", "dataset=movietweetings", f"dataset.path={data}"]
    words += [f"prepare.history_length={HISTORY}", f"prepare.protocols=[{PROTOCOL}]"]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = compose_one(words, [], "config")
    steps = plan(config, Store(root=folder))
    made = carry_out(steps, config, lambda label, metrics, step: None)
    return config, Prepared(made[steps[-1].id].artifact.folder)


def numbered(lists: Any, column: dict[str, int]) -> list[list[int]]:
    return [[column[item] for item in items] for items in lists]


def rows(sequences: Sequence[Sequence[int]]) -> list[list[int]]:
    """Each sequence in rows of 10, from its end; neighbours share an item, so all are told once."""
    found = []
    for items in sequences:
        ends = range(len(items), 1, 1 - LENGTH)
        found += [list(items[max(0, end - LENGTH) : end]) for end in ends]
    return found


def handed(data: Prepared, width: int, blocks: int, heads: int, knobs: Any) -> dict[str, Any]:
    """What the library is told: numbers, no files of ours."""
    column = column_of(data)
    sequences = numbered(data.sequences["items"], column)
    owned = dict(zip(data.sequences["user_id"], sequences, strict=True))
    validation, test = data.samples("validation"), data.samples("test")
    return {
        "items": len(column),
        "rows": rows(sequences),
        "validation": {
            "histories": numbered(validation["history"], column),
            "targets": [column[item] for item in validation["target"]],
            "owned": [owned[user] for user in validation["user_id"]],
        },
        "test": {"histories": numbered(test["history"], column)},
        "settings": {
            "n_factors": width,
            "n_blocks": blocks,
            "n_heads": heads,
            "session_max_len": HISTORY,
            "dropout_rate": knobs.dropout,
            "lr": knobs.learning_rate,
            "batch_size": knobs.batch_size,
        },
    }


def ranks(scores: np.ndarray, data: Prepared) -> np.ndarray:
    """Ranks of the targets among their candidates, by scores of all items."""
    test, column = data.samples("test"), column_of(data)
    table = np.take_along_axis(scores, np.array(numbered(test[PROTOCOL], column)), axis=1)
    places = [row.index(t) for row, t in zip(test[PROTOCOL].to_list(), test["target"], strict=True)]
    return ranking.ranks(np.nan_to_num(table, neginf=-1e9), places, seed=0)


def ours(config: Any, data: Prepared, seed: int, epochs: int, folder: Path) -> np.ndarray:
    knobs = config.recommender["sasrec"].at({"max_epochs": epochs, "patience": epochs})
    folder.mkdir()
    told = run_fit(
        knobs,
        data,
        history_length=HISTORY,
        out=folder,
        scratch=folder / ".scratch",
        seed=seed,
        label=f"ours, seed {seed}",
        log=lambda metrics, step: None,
    )
    print(f"ours, seed {seed}: {told}", flush=True)
    return catalogue_of(folder, data)(data.samples("test")["history"].to_list())


def theirs(python: Path, told: Path, seed: int, epochs: int) -> np.ndarray:
    out = told.with_name(f"theirs-{seed}.npy")
    command = [str(word) for word in (python, WORKER, told, out, seed, epochs)]
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=told.parent,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    print(f"theirs, seed {seed}: {done.stdout.splitlines()[-1]}", flush=True)
    return np.load(out)


def claim(name: str, first: np.ndarray, second: np.ndarray, is_quick: bool) -> Claim:
    """From values (seeds, users) of a metric: the ratio of means, and their standard error."""
    difference = first.mean(0) - second.mean(0)
    seeds = sum(side.mean(1).var(ddof=1) / len(side) for side in (first, second))
    error = float(np.sqrt(difference.var(ddof=1) / len(difference) + seeds))
    return Claim(
        claim=f"{name} of {PROTOCOL}, ours by theirs",
        ratio=float(first.mean() / second.mean()),
        equal=None if is_quick else bool(abs(difference.mean()) <= 2 * error),
        figures={
            "ours": " ".join(f"{mean:.4f}" for mean in first.mean(1)),
            "theirs": " ".join(f"{mean:.4f}" for mean in second.mean(1)),
            "difference": float(difference.mean()),
            "standard error": error,
            "library": LIBRARY[0],
        },
    )


def claims_of(args: argparse.Namespace, folder: Path) -> list[Claim]:
    python = environment()
    config, data = prepared(args.data, folder / "store")
    knobs = config.recommender["sasrec"]
    told = folder / "told.json"
    told.write_text(json.dumps(handed(data, knobs.hidden_size, knobs.blocks, knobs.heads, knobs)))
    epochs = 1 if args.quick else args.epochs
    sides: dict[str, list[np.ndarray]] = {"ours": [], "theirs": []}
    for seed in range(args.seeds):
        sides["ours"].append(ranks(ours(config, data, seed, epochs, folder / f"{seed}"), data))
        sides["theirs"].append(ranks(theirs(python, told, seed, epochs), data))
    first, second = (np.stack(side) for side in sides.values())
    measures = {f"HR@{K}": ranking.hit_rate, f"NDCG@{K}": ranking.ndcg}
    made = [claim(name, of(first, K), of(second, K), args.quick) for name, of in measures.items()]
    for one in made:
        print(f"{one.claim}: {one.ratio:.3f}, {one.figures}", flush=True)
    return made


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of MovieTweetings")
    parser.add_argument("--seeds", type=int, default=2, help="of each side, at least 2")
    parser.add_argument("--epochs", type=int, default=50, help="of which the best one counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        record(__file__, claims_of(args, Path(folder)), args)


if __name__ == "__main__":
    main()
