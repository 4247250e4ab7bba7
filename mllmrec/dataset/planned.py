"""A dataset's tables as a plan of the split, after all filters."""

from collections.abc import Callable
from dataclasses import replace

from mllmrec.dataset.base import Dataset, Tables
from mllmrec.dataset.coded import encoded
from mllmrec.dataset.filters import (
    Sequences,
    by_user,
    distinct_items,
    k_core,
    sequences,
    without_repeats,
)
from mllmrec.dataset.split import Plan, as_published
from mllmrec.errors import Refusal


def planned(
    dataset: Dataset, tables: Tables, cut: Callable[[Sequences], Plan]
) -> tuple[Plan, dict[str, int]]:
    """The plan, and how many were left out, by reason.

    ``cut`` makes it of users' sequences; data that come with their own split keep that.
    """
    if tables.rows is not None:
        rows = tables.rows.filter(tables.rows["items"].list.len() >= dataset.min_interactions)
        if rows.is_empty():
            raise nobody(dataset)
        short = {"short_rows": tables.rows.height - rows.height}
        return as_published(rows), {**tables.dropped, **short}
    met, dropped = without_repeats(by_user(encoded(tables.interactions)))
    rows_met, users, items = met.size, len(met.user_ids), distinct_items(met)
    met = k_core(met, per_user=dataset.min_interactions, per_item=dataset.k_core)
    if not met.size:
        raise nobody(dataset)
    dropped["filtered"] = rows_met - met.size
    dropped["filtered_users"] = users - len(met.user_ids)
    dropped["filtered_items"] = items - distinct_items(met)
    plan = cut(sequences(met))
    if not dataset.has_times:
        plan = replace(plan, time=None)  # numbers that order a user's items, and say no more
    return plan, {**tables.dropped, **dropped}


def nobody(dataset: Dataset) -> Refusal:
    return Refusal(
        f"no user is long enough: nobody has dataset.min_interactions="
        f"{dataset.min_interactions} interactions (with dataset.k_core={dataset.k_core})",
        allowed="filters that leave someone",
        do="a lower dataset.min_interactions, or dataset.k_core=null",
    )
