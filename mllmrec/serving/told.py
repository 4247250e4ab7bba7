"""Recommendations as files and on the terminal."""

import json
from pathlib import Path
from typing import Any

import polars as pl
from rich import box
from rich.markup import escape
from rich.table import Table

from mllmrec.policy.full import Way
from mllmrec.records import Prepared
from mllmrec.report.tables import console
from mllmrec.serving.delivery import Kind
from mllmrec.training.rationales import TABLE, drafts

ROWS, LINES, PARQUET, ABOUT = (
    "recommendations.csv",
    "recommendations.jsonl",
    "recommendations.parquet",
    "about.json",
)
FORMS = {".csv": ROWS, ".jsonl": LINES, ".parquet": PARQUET}
COLUMNS = ("id", "place", "item_id", "title", "score")  # of CSV and Parquet
FIELDS = ("id", "user", "history", "recommended")  # of a JSON line, and a rationale perhaps
FEW = 3  # lists that are printed where there are many
COUNTED = "training interactions"
KINDS = {  # what a score is; of a recommender a logit
    "random": "equal for all: the order is drawn",
    "popularity": COUNTED,
    "popularity_recent": f"{COUNTED} of the last tenth of the time",
    "markov": "P(next | last item)",
    "cooccurrence": "sum of cosines with the history",
    "backbone_text": "log p of the item as the next line, in nats",
}
LOGIT, ANSWER = "logit", "log p of the answer, in nats"


def kind_of(policy: str, is_model: bool, way: Way, *, listed: bool) -> str:
    """What the scores of a policy are."""
    if is_model and policy not in KINDS:
        return ANSWER if listed or way.by == "answer" else "log p of the item's marker, in nats"
    return KINDS.get(policy, LOGIT)


def write(
    lists: pl.DataFrame,
    requests: pl.DataFrame,
    prepared: Prepared,
    out: Path,
    about: dict[str, Any],
) -> None:
    """The same lists (serving.lists.LISTS) in three forms, and what their scores are.

    CSV and Parquet have a row an item: ``id`` of the request, ``place`` from 1, ``item_id``,
    ``title``, ``score``. JSON lines have a request each, with its history and its rationale.
    """
    titles = pl.DataFrame({"item_id": prepared.items["item_id"], "title": prepared.items["title"]})
    rows = (
        lists.with_columns(place=pl.int_ranges(1, pl.col("ranked").list.len() + 1))
        .explode("ranked", "scores", "place")
        .drop_nulls("ranked")
        .rename({"ranked": "item_id", "scores": "score"})
        .join(titles, on="item_id", how="left", maintain_order="left")
        .select(COLUMNS)
    )
    rows.write_csv(out / ROWS)
    rows.write_parquet(out / PARQUET)
    told = rationales_in(out)
    with (out / LINES).open("w", encoding="utf-8") as file:
        for request, one in zip(requests.iter_rows(named=True), lists.iter_rows(), strict=True):
            id, ranked, scores = one
            named = [
                {"item_id": item, "title": prepared.titles[item], "score": score}
                for item, score in zip(ranked, scores, strict=True)
            ]
            line = {"id": id, "user": request["user"], "history": request["history"]}
            line |= {"rationale": told[id]} if id in told else {}
            file.write(json.dumps({**line, "recommended": named}, ensure_ascii=False) + "\n")
    (out / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def others(file: Path) -> list[str] | None:
    """Nothing beside, where a file is lists as ``write`` makes them; None of any other file."""
    try:
        return [] if file.is_file() and is_lists(file) else None
    except (OSError, ValueError, pl.exceptions.PolarsError):  # ValueError: neither UTF-8 nor JSON
        return None


def is_lists(file: Path) -> bool:
    """Whether a file has the columns of ``write``, or its first line the fields."""
    if file.suffix == ".parquet":
        return [*pl.read_parquet_schema(file)] == [*COLUMNS]
    with file.open(encoding="utf-8") as handle:
        first = handle.readline()
    if file.suffix == ".csv":
        return first.rstrip("\n").split(",") == [*COLUMNS]
    line = json.loads(first)
    return isinstance(line, dict) and line.keys() - {"rationale"} == {*FIELDS}


LISTS = Kind(name="an earlier file of lists", others=others)


def rationales_in(folder: Path) -> dict[str, str]:
    """Rationales by the id of their request, where some were asked for."""
    return drafts(folder) if (folder / TABLE).is_file() else {}


def show(folder: Path) -> None:
    """Print one list whole; of many the first, how many there are, and where."""
    about, out = json.loads((folder / ABOUT).read_text(encoding="utf-8")), console()
    told, table = rationales_in(folder), pl.read_parquet(folder / PARQUET)
    ids = table["id"].unique(maintain_order=True)
    for id in ids[:FEW]:
        name = f", {id}" if about["requests"] != 1 else ""
        out.print(escape(f"recommended by {about['policy']}{name} (score: {about['score']})"))
        rows = Table(box=box.SIMPLE_HEAD)
        rows.add_column("", justify="right", no_wrap=True)
        rows.add_column("item_id", no_wrap=True)
        rows.add_column("title")
        rows.add_column("score", justify="right", no_wrap=True)
        for _, place, item, title, score in table.filter(id=id).iter_rows():
            rows.add_row(str(place), escape(item), escape(title or ""), f"{score:.4g}")
        out.print(rows)
        if id in told:
            out.print(escape(told[id]))
    empty = about["requests"] - len(ids)
    if empty:
        out.print(f"{empty} of {about['requests']} lists are empty: nothing was found for them")
    if about["requests"] != 1:
        out.print(f"{about['requests']} lists, each to its end in")
    for name in FORMS.values():
        print(folder / name)  # whole on one line, however narrow the terminal
