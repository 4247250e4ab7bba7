"""Samples as the writers of rationales are shown them: histories in words, or with pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mllmrec.records import Prepared


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An item as a writer is shown it; what is not known of it is empty or None."""

    item_id: str
    title: str
    caption: str | None
    genres: tuple[str, ...]
    picture: Path | None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A sample as a writer is shown it: its history, oldest first, and never its candidates.

    ``target`` is None, but where ``reasoner.reveal_target`` is true.
    """

    sample_id: str
    history: tuple[Shown, ...]
    target: Shown | None


def cases_of(samples: pl.DataFrame, prepared: Prepared, *, reveal: bool) -> list[Case]:
    """Each sample as a case, in their order; its target is there only if it is to be revealed."""
    items = {item.item_id: item for item in catalogue(prepared)}
    targets: list[str | None] = samples["target"].to_list() if reveal else [None] * len(samples)
    rows = zip(samples["sample_id"], samples["history"].to_list(), targets, strict=True)
    return [
        Case(
            sample_id=id,
            history=tuple(items[item] for item in history),
            target=items[target] if target is not None else None,
        )
        for id, history, target in rows
    ]


def catalogue(prepared: Prepared) -> list[Shown]:
    """Every item with all that is known of it, in the order of the table."""
    captions: Mapping[str, str] = prepared.captions
    table = prepared.items.select("item_id", "title", "genres", "picture")
    return [
        Shown(
            item_id=id,
            title=title,
            caption=captions.get(id),
            genres=tuple(genres or ()),
            picture=prepared.folder / picture if picture else None,
        )
        for id, title, genres, picture in table.iter_rows()
    ]
