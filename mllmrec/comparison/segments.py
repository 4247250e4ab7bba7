"""Results by kind of sample: how popular the target is, how long the user's history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from mllmrec import ranking
from mllmrec.comparison.options import Options
from mllmrec.comparison.ranks import Board, Key, Samples
from mllmrec.comparison.values import NAMES, admissible, measured, parts
from mllmrec.records import Prepared

BINS = 5  # of about as many samples of the reference
MANY = 50  # runs: beyond it the primary policy alone is told


@dataclass(frozen=True)
class Known:
    """What is known of some samples, in their order; None where ``prepare`` is gone."""

    samples: Samples

    @cached_property
    def prepared(self) -> Prepared | None:
        found = self.samples.prepared
        return Prepared(found.folder) if found else None

    @cached_property
    def table(self) -> pl.DataFrame:
        """Their rows of the test's table."""
        assert self.prepared
        wanted = pl.DataFrame({"sample_id": self.samples.ids})
        asked = ("sample_id", "user_id", "target")
        there = self.prepared.scan("test").select(asked).collect()
        return wanted.join(there, on="sample_id", how="left", maintain_order="left")

    def popularity(self) -> Any:
        """How often each target was chosen in training."""
        assert self.prepared
        counts = self.prepared.scan("popularity").collect()
        found = self.table.join(
            counts, left_on="target", right_on="item_id", how="left", maintain_order="left"
        )
        return found["weight"].fill_null(0).to_numpy()

    def history(self) -> Any:
        """How many training interactions each user has."""
        assert self.prepared
        counts = self.prepared.scan("sequences").select("user_id", pl.col("items").list.len())
        found = self.table.join(counts.collect(), on="user_id", how="left", maintain_order="left")
        return found["items"].fill_null(0).cast(pl.Int64).to_numpy()


FEATURES: dict[str, Callable[[Known], Any]] = {
    "popularity of the target (training interactions)": Known.popularity,
    "history length (training interactions of the user)": Known.history,
}


def segments(board: Board, options: Options, reference: int, primary: Key) -> list[dict[str, Any]]:
    """Bins of samples by each feature, and every run's metrics in them with intervals.

    The bounds are those that part the reference's samples evenly; all runs share them.
    """
    base = (board.by.get(primary) or [None] * len(board.runs))[reference]
    bases = [base.samples] if base else [g for g in board.groups if g.protocol == primary[1]]
    bases = [samples for samples in bases if samples.prepared]
    if not bases:
        return []
    keys = [key for key in board.by if key[1] == primary[1] and key[0] in options.every_policy]
    keys = keys if len(board.runs) <= MANY else [primary]
    found = []
    for name, feature in FEATURES.items():
        edges = edges_of(feature(Known(bases[0])))
        if not edges:  # all samples are alike
            continue
        made = by_bin(board, options, keys, feature, edges)
        found.append({"name": name, "bins": labels(edges), "rows": made})
    return found


def edges_of(values: Any) -> list[int]:
    """The least values of every bin but the first."""
    cuts = np.quantile(values, np.arange(1, BINS) / BINS, method="higher")
    return sorted({int(cut) for cut in cuts} - {int(values.min())})


def labels(edges: Sequence[int]) -> list[str]:
    """``0–3``, ``4``, ``5–9``, ``10+``."""
    lows = [0, *edges]
    told = [
        f"{low}–{following - 1}" if following - 1 > low else f"{low}"
        for low, following in zip(lows, edges, strict=False)
    ]
    return [*told, f"{lows[-1]}+"]


def by_bin(
    board: Board,
    options: Options,
    keys: Sequence[Key],
    feature: Callable[[Known], Any],
    edges: Sequence[int],
) -> list[dict[str, Any]]:
    """A row a run, policy and metric: mean, low, high and n by bin."""
    told: dict[tuple[int, str], list[dict[str, Any]]] = {}
    numbers = {one.number for key in keys for one in board.by[key] if one}
    for samples in board.groups:
        some = [one for one in board.distinct(samples) if one.number in numbers]
        if not some or not samples.prepared:
            continue
        bins = np.searchsorted(np.asarray(edges), feature(Known(samples)), side="right")
        metrics = admissible(options.tested, samples.candidates)
        wanted = [(one, metric) for one in some for metric in metrics]
        for place in range(len(edges) + 1):
            rows = np.flatnonzero(bins == place)
            for one, metric, cell in cells(wanted, rows, options.seed):
                told.setdefault((one.number, metric), []).append(cell)
    return [
        {"run": place, "key": f"{policy}/{protocol}/{metric}"}
        | {name: [cell[name] for cell in told[one.number, metric]] for name in NAMES}
        for policy, protocol in keys
        for metric in options.tested
        for place, one in enumerate(board.by[policy, protocol])
        if one and (one.number, metric) in told
    ]


def cells(wanted: Sequence[Any], rows: Any, seed: int) -> Any:
    """The mean of each ranking and metric over some rows, with its interval."""
    if not len(rows):
        nothing = {**dict.fromkeys(NAMES), "n": 0}
        return [(one, metric, nothing) for one, metric in wanted]
    found = []
    for some in parts(wanted, len(rows)):
        arrays = {place: measured(m, one.ranks[rows]) for place, (one, m) in enumerate(some)}
        lines = ranking.intervals(arrays, seed=seed)  # type: ignore[arg-type]
        for (one, metric), line in zip(some, lines.values(), strict=True):
            cell = {"mean": line.mean, "low": line.low, "high": line.high, "n": len(rows)}
            found.append((one, metric, cell))
    return found
