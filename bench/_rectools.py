"""SASRec of RecTools, run by bench/sasrec.py in an environment of its own; nothing of ours is here.

    python _rectools.py INPUT.json OUTPUT.npy SEED EPOCHS

The input has ``items`` (how many), ``rows`` (training rows, item numbers), ``settings``, and for
``validation`` and ``test`` the ``histories``; validation has ``targets`` and ``owned`` too. Of the
epochs the one of the best NDCG@10 on validation is taken. The output are its scores of all items
after each history of the test.
"""

import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

USER, ITEM, WEIGHT, TIME = Columns.User, Columns.Item, Columns.Weight, Columns.Datetime


class Keeping(Callback):
    """The weights after each epoch."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.kept.append(copy.deepcopy(module.torch_model.state_dict()))


def dataset(rows: Sequence[Sequence[int]]) -> Dataset:
    """A user a row, and a day an item."""
    told = [(user, item, place) for user, row in enumerate(rows) for place, item in enumerate(row)]
    table = pd.DataFrame(told, columns=[USER, ITEM, "place"])
    table[TIME] = pd.Timestamp("2000-01-01") + pd.to_timedelta(table.pop("place"), unit="D")
    table[WEIGHT] = 1.0
    return Dataset.construct(table)


def scores(model: SASRecModel, histories: Sequence[Sequence[int]], items: int) -> np.ndarray:
    """Scores of all items after each history; −inf where the library knows none."""
    asked = dataset(histories)
    found = model.recommend(range(len(histories)), asked, k=items, filter_viewed=False)
    table = np.full((len(histories), items), -np.inf, dtype=np.float32)
    table[found[USER].to_numpy(), found[ITEM].to_numpy()] = found[Columns.Score].to_numpy()
    return table


def ndcg(table: np.ndarray, told: dict[str, Any]) -> float:
    """NDCG@10 over all items but those that a user has."""
    targets = np.array(told["targets"])
    own = table[np.arange(len(table)), targets]
    for row, owned, target in zip(table, told["owned"], targets, strict=True):
        row[[item for item in owned if item != target]] = -np.inf
    ranks = (table >= own[:, None]).sum(axis=1)
    return float(np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0).mean())


def main(source: str, out: str, seed: str, epochs: str) -> None:
    torch.set_num_threads(1)
    told = json.loads(Path(source).read_text())
    seed_everything(int(seed), verbose=False)

    def trainer(**_: Any) -> Trainer:
        return Trainer(
            max_epochs=int(epochs),
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Keeping()],
        )

    model = SASRecModel(**told["settings"], loss="softmax", get_trainer_func=trainer)
    model.fit(dataset(told["rows"]))
    kept = next(one.kept for one in model.fit_trainer.callbacks if isinstance(one, Keeping))
    asked, best, weights = told["validation"], -1.0, None
    for state in kept:
        model.lightning_model.torch_model.load_state_dict(state)
        found = ndcg(scores(model, asked["histories"], told["items"]), asked)
        if found > best:
            best, weights = found, state
    model.lightning_model.torch_model.load_state_dict(weights)
    np.save(out, scores(model, told["test"]["histories"], told["items"]))
    print(json.dumps({"ndcg@10 of validation": best, "epochs": len(kept)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
