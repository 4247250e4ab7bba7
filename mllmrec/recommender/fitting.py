"""Fit a recommender: rounds of steps, the best round kept by validation, and what a kill leaves."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from mllmrec import ranking
from mllmrec.errors import Refusal
from mllmrec.progress import Bar
from mllmrec.recommender.base import Recommender
from mllmrec.recommender.networks import Network
from mllmrec.recommender.rows import (
    Asked,
    Sequences,
    Windows,
    batches,
    by_length,
    gathered,
    windows,
)
from mllmrec.records import Prepared
from mllmrec.seeds import seed_for

K = 10  # of the metrics of validation
NDCG, HR = f"ndcg@{K}", f"hr@{K}"
CELLS = 8_000_000  # scores held at once: 32 MB
CHECKPOINT = "last.pt"
Log = Callable[[dict[str, float], int], None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is learnt from, what it is judged by, and how long histories are."""

    items: int
    sequences: Sequences
    validation: Asked
    history_length: int

    @classmethod
    def of(cls, prepared: Prepared, history_length: int, most: int | None, seed: int) -> Self:
        """Training interactions, and at most so many validation samples."""
        samples = prepared.chosen("validation", most, seed, "fit")
        catalogue = prepared.items["item_id"]
        return cls(
            items=len(catalogue),
            sequences=Sequences.of(prepared.sequences["items"], catalogue),
            validation=Asked.of(samples, prepared, history_length),
            history_length=history_length,
        )


@dataclass(kw_only=True)
class Progress:
    """How far a fit is: a line of ``curve`` a round, and the weights of the best one."""

    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def best_round(self) -> int:
        """The number of the first round of the highest NDCG."""
        return int(np.argmax([line[NDCG] for line in self.curve]))

    @property
    def found(self) -> dict[str, float]:
        """What validation said of the best round."""
        return self.curve[self.best_round]

    def is_over(self, patience: int) -> bool:
        """Whether so many rounds have brought nothing better."""
        return bool(self.curve) and len(self.curve) - 1 - self.best_round >= patience


@dataclass(frozen=True, kw_only=True)
class Round:
    """The steps between two looks at validation; ``epoch`` is how far they lead."""

    number: int
    epoch: float
    rows: Windows
    parts: list[np.ndarray]


def fit(knobs: Recommender, task: Task, scratch: Path, seed: int, label: str, log: Log) -> Progress:
    """Fit from the checkpoint in ``scratch``, or from the beginning, to the same end."""
    with torch.random.fork_rng(), Bar(label, knobs.max_epochs, "epoch") as bar:
        torch.manual_seed(seed_for(seed, "weights"))
        network = knobs.network(task.items, task.history_length).to(device())
        moved = [weight for weight in network.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(
            moved, lr=knobs.learning_rate, weight_decay=knobs.weight_decay
        )
        progress = resumed(network, optimiser, scratch)
        for one in rounds(knobs, task, seed):
            if progress.is_over(knobs.patience):
                break
            if one.number >= len(progress.curve):
                began = time.monotonic()
                loss = steps(network, optimiser, one, task, seed)
                check_finite(loss, knobs, progress.seconds + time.monotonic() - began)
                take(progress, network, {"epoch": one.epoch, "loss": loss, **judged(network, task)})
                progress.seconds += time.monotonic() - began
                save(progress, network, optimiser, scratch)
                log(progress.curve[-1], one.number)
            if one.epoch == int(one.epoch):
                bar.step(more=f"{NDCG} {progress.curve[one.number][NDCG]:.4f}")
    return progress


def rounds(knobs: Recommender, task: Task, seed: int) -> Iterator[Round]:
    """All rounds there may be; the rows of an epoch are cut and put in order by its number."""
    number, length = 0, task.history_length
    for epoch in range(knobs.max_epochs):
        rng = np.random.default_rng(seed_for(seed, "rows", epoch))
        rows = windows(task.sequences, length, min(knobs.stride or length, length), rng)
        parts = batches(rows, knobs.batch_size, rng)
        each = knobs.validate_every or len(parts)
        for start in range(0, len(parts), each):
            stop = min(start + each, len(parts))
            yield Round(
                number=number,
                epoch=epoch + stop / len(parts),
                rows=rows,
                parts=parts[start:stop],
            )
            number += 1


def steps(network: Network, optimiser: Any, one: Round, task: Task, seed: int) -> float:
    """Take the steps of a round; return the mean loss of its batches."""
    torch.manual_seed(seed_for(seed, "dropout", one.number))
    rng = np.random.default_rng(seed_for(seed, "loss", one.number))
    losses = []
    network.train()
    for part in one.parts:
        rows, told = (
            torch.from_numpy(table).to(device())
            for table in gathered(task.sequences, one.rows, part)
        )
        loss = network.loss(rows, told, rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        network.follow()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()


class Diverged(Refusal):
    """The loss has not stayed finite; ``seconds`` is what the fit has taken until then."""

    seconds = 0.0


def check_finite(loss: float, knobs: Recommender, seconds: float) -> None:
    """Refuse weights that can only be of no use."""
    if not np.isfinite(loss):
        rate = knobs.learning_rate
        refusal = Diverged(
            f"recommender.{knobs.name}.learning_rate={rate}: the loss has become {loss}",
            allowed="settings under which the loss stays finite",
            do=f"type recommender.{knobs.name}.learning_rate={rate / 10:.1e}",
        )
        refusal.seconds = seconds
        raise refusal


def take(progress: Progress, network: Network, line: dict[str, float]) -> None:
    """Add a line to the curve, and keep the weights if they are the best so far."""
    progress.curve.append(line)
    if progress.best_round == len(progress.curve) - 1:
        progress.best = {
            name: weight.detach().cpu().clone() for name, weight in network.state_dict().items()
        }


def judged(network: Network, task: Task) -> dict[str, float]:
    """NDCG and HR of validation over the whole catalogue, without what the user has."""
    asked, each = task.validation, max(1, CELLS // task.items)
    ranks = np.concatenate(
        [
            ranked(network, asked.part(start, start + each))
            for start in range(0, len(asked.targets), each)
        ]
    )
    return {
        NDCG: float(ranking.ndcg(ranks, K).mean()),
        HR: float(ranking.hit_rate(ranks, K).mean()),
    }


def ranked(network: Network, asked: Asked) -> np.ndarray:
    """The rank of each target, behind all items of the same score."""
    scores = scored(network, asked.histories)
    own = scores[np.arange(len(scores)), asked.targets]
    scores[asked.seen] = -np.inf
    return (scores >= own[:, None]).sum(axis=1)


@torch.inference_mode()
def scored(network: Network, histories: list[np.ndarray]) -> np.ndarray:
    """Scores of all items after each history: float32 (histories, items)."""
    network.eval()
    found = np.empty((len(histories), network.count), dtype=np.float32)
    for some in by_length(histories):
        rows = torch.from_numpy(np.stack([histories[n] for n in some]))
        found[some] = network.scores(rows.to(device())).cpu().numpy()
    return found


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def save(progress: Progress, network: Network, optimiser: Any, scratch: Path) -> None:
    """Write the checkpoint so that the path holds the old one or the new one."""
    scratch.mkdir(parents=True, exist_ok=True)
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**vars(progress), **state}, scratch / f".{CHECKPOINT}")
    (scratch / f".{CHECKPOINT}").replace(scratch / CHECKPOINT)


def resumed(network: Network, optimiser: Any, scratch: Path) -> Progress:
    """What a killed fit had done, its weights put in place; nothing where there is none."""
    if not (scratch / CHECKPOINT).is_file():
        return Progress()
    state = torch.load(scratch / CHECKPOINT, map_location=device(), weights_only=True)
    network.load_state_dict(state.pop("network"))
    optimiser.load_state_dict(state.pop("optimiser"))
    return Progress(**state)
