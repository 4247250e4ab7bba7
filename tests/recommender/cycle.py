"""Users who go round a circle of items, and small recommenders that may learn it."""

from pathlib import Path

import polars as pl
import yaml

from mllmrec.recommender.fitted import run_fit
from mllmrec.records import Prepared
from mllmrec.schema import component

ITEMS, LENGTH = 24, 5
CONF = Path(__file__).resolve().parents[2] / "conf" / "recommender"
NONE = {"trials": 0, "minutes": None, "space": {}}
SMALL = {
    "hidden_size": 16,
    "dropout": 0.0,
    "learning_rate": 1e-2,
    "batch_size": 16,
    "max_epochs": 6,
    "patience": 6,
    "tune": NONE,
}


def knobs(name, **more):
    """The recommender of a YAML, small, with other values of some knobs."""
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text())[name]
    small = {**SMALL, **({"inner_size": 16, "blocks": 1} if "blocks" in node else {})}
    return component({**node, **small, **more}, f"recommender.{name}", "recommender")


def item(number):
    return f"i{number % ITEMS}"


def prepared(folder, users=72):
    """What ``prepare`` would leave: user u begins at item u, and each next item is one further.

    Users have four to eleven training interactions, then one for validation and one for test.
    """
    walks = {f"u{u}": [item(u + step) for step in range(6 + u % 8)] for u in range(users)}
    pl.DataFrame({"item_id": [item(n) for n in range(ITEMS)]}).write_parquet(
        folder / "items.parquet"
    )
    rows = {"user_id": [*walks], "items": [walk[:-2] for walk in walks.values()]}
    pl.DataFrame(rows).write_parquet(folder / "sequences.parquet")
    for split, last in (("validation", -2), ("test", -1)):
        samples = {
            "sample_id": [f"{user}:{len(walk) + last}" for user, walk in walks.items()],
            "user_id": [*walks],
            "history": [walk[:last][-LENGTH:] for walk in walks.values()],
            "target": [walk[last] for walk in walks.values()],
        }
        pl.DataFrame(samples).write_parquet(folder / f"{split}.parquet")
    return Prepared(folder)


def fitted(recommender, data, out, seed=0, log=lambda metrics, step: None):
    """Run the whole fit into a folder; its metrics."""
    out.mkdir(exist_ok=True)
    return run_fit(
        recommender,
        data,
        history_length=LENGTH,
        out=out,
        scratch=out / ".scratch",
        seed=seed,
        label="fit",
        log=log,
    )
