"""Samples on which runs disagree most: what was asked, and what each of them ranked."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from mllmrec import ranking
from mllmrec.comparison.asked import Asked, asked_of, may_shorten
from mllmrec.comparison.options import CASES, Options
from mllmrec.comparison.ranks import Board, Key, Ranks, Samples
from mllmrec.comparison.run import listed, place_of
from mllmrec.errors import Refusal
from mllmrec.records import Prepared

SHOWN = 10  # items of a ranking
COLUMNS = ("sample_id", "history", "target")


def chosen(
    board: Board,
    options: Options,
    reference: int,
    primary: Key,
    means: Sequence[float | None],
) -> list[int]:
    """The runs whose rankings are kept: those named, or the reference and then the best.

    All have ranked the same samples as the first of them; runs of one ranking stand for it once.
    """
    row = board.by.get(primary, [None] * len(board.runs))
    best = sorted(
        (place for place, mean in enumerate(means) if mean is not None),
        key=lambda place: (-(means[place] or 0.0), place),
    )
    wanted = [reference, *best] if options.cases is None else by_name(board, options.cases)
    found: dict[int, Ranks] = {}
    for place in wanted:
        if (one := row[place]) and all(other.samples is one.samples for other in found.values()):
            if options.cases is not None or one not in found.values():
                found.setdefault(place, one)
            if len(found) == CASES:
                break
        elif options.cases is not None:
            told = "has not ranked by it" if one is None else "ranked other samples"
            raise Refusal(
                f"compare.cases: {board.runs[place].name}: {'/'.join(primary)}: {told}",
                allowed="runs that ranked the same samples",
                do="type compare.cases=null, or compare.cases=[NAME,NAME] with others",
            )
    return [*found]


def by_name(board: Board, names: Sequence[str]) -> list[int]:
    """The places of runs.

    Raises:
        Refusal: there is none of this name.
    """
    found = []
    for name in names:
        if (place := place_of(name, board.runs)) is None:
            raise Refusal(
                f"compare.cases: {name}: no run of this name",
                allowed=listed(board.runs),
                do="type compare.cases=[NAME,NAME], at most ten of these, in quotes where a name"
                " has other characters than letters and digits",
            )
        found.append(place)
    return found


def where_they_differ(tables: Sequence[Ranks], most: int) -> list[int]:
    """The samples (rows) that tell these rankings apart, those of every pair by turns.

    A pair disagrees by the difference of 1/log₂(rank + 1): a place near the top counts more.
    """
    gains = [ranking.ndcg(one.ranks, np.iinfo(np.int64).max) for one in tables]
    orders = []
    for one, other in combinations(gains, 2):
        gap = np.abs(one - other)
        furthest = np.argsort(-gap, kind="stable")[:most].tolist()
        orders.append([row for row in furthest if gap[row] > 0])
    found: dict[int, None] = {}
    for place in range(most):
        for order in orders:
            if place < len(order) and len(found) < most:
                found.setdefault(order[place])
    return list(found)


def cases(
    board: Board, options: Options, primary: Key, places: Sequence[int]
) -> dict[str, Any] | None:
    """Prompt, rationale, history and target of each case, and every chosen run's ranking."""
    policy, protocol = primary
    tables = [one for place in places if (one := board.by[primary][place])]
    if len(tables) < 2 or not options.samples:
        return None
    samples = tables[0].samples
    rows = where_they_differ(tables, options.samples)
    if not rows or not samples.prepared:
        return None
    ids = [samples.ids[row] for row in rows]
    titles = Prepared(samples.prepared.folder).titles
    asked = test_rows(samples, ids)
    prompts = [
        asked_of(board.runs[place], one, protocol, asked)
        for place, one in zip(places, tables, strict=True)
    ]
    answers = [ranked_of(one, protocol, rows, titles) for one in tables]
    told = [
        {
            "id": id,
            **prompts[0][n],
            "history": [named(item, titles) for item in history],
            "target": named(target, titles),
            "by": [
                {**answer[n], **set_apart(prompt[n], prompts[0][n])}
                for answer, prompt in zip(answers, prompts, strict=True)
            ],
        }
        for n, (id, history, target) in enumerate(asked.select(COLUMNS).iter_rows())
    ]
    return {
        "policy": policy,
        "protocol": protocol,
        "runs": list(places),
        "shortened": [place for place in places if may_shorten(board.runs[place])],
        "samples": told,
    }


def set_apart(own: Asked, common: Asked) -> Asked:
    """What a run's model was shown that the first run's was not."""
    return {name: text for name, text in own.items() if text != common[name]}


def named(item: str, titles: Mapping[str, str]) -> str:
    """An item's title, or its id in brackets where it has none."""
    return titles.get(item) or f"[ITEM_{item}]"


def test_rows(samples: Samples, ids: Sequence[str]) -> pl.DataFrame:
    """These samples as ``prepare`` left them, in this order."""
    assert samples.prepared
    there = Prepared(samples.prepared.folder).scan("test")
    wanted = pl.DataFrame({"sample_id": list(ids)})
    found = there.filter(pl.col("sample_id").is_in(list(ids))).collect()
    return wanted.join(found, on="sample_id", how="left", maintain_order="left")


def ranked_of(
    one: Ranks, protocol: str, rows: Sequence[int], titles: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The first items that one run ranked, and where its target came."""
    file = one.artifact.folder / f"{protocol}.parquet"
    table = pl.read_parquet(file, columns=["ranked", "rank"])[list(rows)]
    return [
        {"ranked": [named(item, titles) for item in ranked[:SHOWN]], "rank": rank}
        for ranked, rank in table.select("ranked", "rank").iter_rows()
    ]
