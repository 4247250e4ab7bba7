"""A fitted recommender on disk: what the stage ``fit`` leaves, and the catalogue it makes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mllmrec.artifacts import write_json
from mllmrec.recommender.base import NO_SEARCH, Recommender
from mllmrec.recommender.rows import numbered
from mllmrec.records import Prepared
from mllmrec.schema import TARGET, component

FIT, WEIGHTS, TRIALS = "fit.json", "weights.safetensors", "trials.parquet"
Metrics = dict[str, float]


def run_fit(
    knobs: Recommender,
    prepared: Prepared,
    *,
    history_length: int,
    out: Path,
    scratch: Path,
    seed: int,
    label: str,
    log: Callable[[Metrics, int], None],
) -> Metrics:
    """Leave the weights of the best round, of the best trial if there are any, and ``fit.json``."""
    from safetensors.torch import save_file

    from mllmrec.recommender.fitting import Task, fit
    from mllmrec.recommender.tuning import tune

    task = Task.of(prepared, history_length, knobs.validation_samples, seed)
    tuning: dict[str, Any] = {}
    if knobs.tune.trials:
        trials, best, progress = tune(knobs, task, scratch, seed, label, log)
        tuning = {**knobs.tune.model_dump(mode="json"), "done": len(trials), "best": best}
        rows = [
            {
                "trial": n,
                "ndcg@10": one.found,
                "diverged": one.diverged,
                "epochs": one.epochs,
                **one.values,
            }
            for n, one in enumerate(trials)
        ]
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(out / TRIALS)
        knobs = knobs.at(trials[best].values)
    else:
        progress = fit(knobs, task, scratch, seed, label, log)
    save_file(progress.best, out / WEIGHTS)
    parameters = sum(weight.numel() for weight in progress.best.values())
    told = {
        "recommender": f"{type(knobs).__module__}.{type(knobs).__name__}",
        "settings": knobs.settings(),
        "tuning": tuning or None,
        "items": task.items,
        "history_length": history_length,
        "parameters": parameters,
        "epochs": progress.curve[-1]["epoch"],
        "best": progress.found,
        "curve": progress.curve,
    }
    write_json(out / FIT, told)
    return {
        **progress.found,
        "epochs": progress.curve[-1]["epoch"],
        "parameters": float(parameters),
        **({"trials": float(tuning["done"])} if tuning else {}),
    }


def catalogue_of(
    folder: Path, prepared: Prepared
) -> Callable[[Sequence[Sequence[str]]], np.ndarray]:
    """The scores of all items after each history, float32, by what ``run_fit`` has left.

    A history is cut to its last items, as many as the network takes.
    """
    from safetensors.torch import load_file

    from mllmrec.recommender.fitting import device, scored

    told = json.loads((folder / FIT).read_text())
    node = {TARGET: told["recommender"], **told["settings"], "tune": NO_SEARCH}
    knobs = component(node, "recommender", "recommender")
    network = knobs.network(told["items"], told["history_length"])
    network.load_state_dict(load_file(folder / WEIGHTS))
    network.to(device())
    ids = prepared.items["item_id"]
    return lambda histories: scored(network, numbered(histories, ids, told["history_length"]))
