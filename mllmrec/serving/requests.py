"""Whom to recommend for: names become ids, users their histories, and bad rows are told."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import polars as pl

from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from mllmrec.serving.names import Names, Unknown
from mllmrec.serving.rows import BadRow, Row

log = logging.getLogger(__name__)

TABLE = "requests.parquet"
REQUESTS = pl.Schema(
    {
        "id": pl.String(),
        "user": pl.String(),  # null where a history was given
        "history": pl.List(pl.String),  # all of it, oldest first
        "barred": pl.List(pl.String),  # never recommended: what is in it, or the user has anyway
        "candidates": pl.List(pl.String),  # null: the catalogue
    }
)
SHOWN = 5  # bad rows that are told one by one


@dataclass(kw_only=True)
class Faults:
    """Rows that cannot be asked, counted against ``recommend.max_bad_rows``."""

    limit: int
    told: list[str] = field(default_factory=list)
    do: str = ""
    count: int = 0

    def add(self, where: str, wrong: str, do: str = "") -> None:
        self.count += 1
        self.do = self.do or do
        if len(self.told) < SHOWN:
            self.told.append(f"{where}: {wrong}")

    def settle(self, asked: int, *, is_file: bool) -> None:
        """Log them; refuse more than the limit, or to be left with nothing."""
        more = f"; and {self.count - len(self.told)} more" * (self.count > len(self.told))
        if self.count and not is_file:
            raise Refusal(
                "; ".join(self.told) + more,
                allowed="ids and titles of this dataset's items, ids of its users",
                do=f"type {self.do or 'recommend.history=[TITLE,TITLE]'}",
            )
        if self.count > self.limit or not asked:
            mend = "mend the file" + (f" ({self.do})" if self.do else "")
            leave = f", or type recommend.max_bad_rows={self.count}" if asked else ""
            raise Refusal(
                ("; ".join(self.told) + more) or "recommend.file: it has no row",
                allowed=f"at most {self.limit} bad rows (recommend.max_bad_rows), and a good one",
                do=mend + leave,
            )
        if self.count:
            log.warning("left out %d bad rows: %s%s", self.count, "; ".join(self.told), more)


def resolved(
    rows: Sequence[Row],
    names: Names,
    prepared: Prepared,
    candidates: Sequence[str],
    faults: Faults,
) -> pl.DataFrame:
    """The requests (REQUESTS) of the rows that can be asked, in their order.

    ``candidates`` are those of rows that name none of their own; none at all is the catalogue.
    """
    made: list[tuple[Row, dict[str, Any]]] = []
    seen: set[str] = set()
    for row, id in zip(rows, ids_of(rows), strict=True):
        try:
            if row.fault:
                raise BadRow(row.fault)
            request = asked(row, names, candidates) | {"id": id}
            if id in seen:
                raise BadRow(f"the id {id!r} is another row's too; give each an id of its own")
            seen.add(id)
            made.append((row, request))
        except BadRow as bad:
            faults.add(row.where, str(bad))
        except Unknown as unknown:
            faults.add(row.where, unknown.wrong, unknown.do)
    users = users_of(prepared, {one["user"] for _, one in made if one["user"] is not None})
    complete = []
    for row, request in made:
        if wrong := completed(request, users):
            faults.add(row.where, wrong, "recommend.history=[TITLE,TITLE] for somebody else")
        else:
            complete.append(request)
    return pl.DataFrame(complete, schema=REQUESTS, orient="row")


def ids_of(rows: Sequence[Row]) -> list[str]:
    """The id of each row: its own, else its user's, else its number from 1.

    Where that number is another row's id, the next that is free beyond the last row.
    """
    named = [row.cells.get("id") or row.cells.get("user") for row in rows]
    taken = {*named}
    free = (str(n) for n in count(len(rows) + 1) if str(n) not in taken)
    numbers = (str(n) for n in range(1, len(rows) + 1))
    return [
        name or (number if number not in taken else next(free))
        for name, number in zip(named, numbers, strict=True)
    ]


def asked(row: Row, names: Names, candidates: Sequence[str]) -> dict[str, Any]:
    """One row as a request, but for what is known of its user."""
    cells = row.cells
    if (cells["history"] is None) == (cells["user"] is None):
        raise BadRow("exactly one of history and user is needed")
    if cells["history"] == []:
        raise BadRow("the history is empty")
    listed, history = found(names, cells["candidates"] or candidates, cells["history"] or [])
    if len({*listed}) < len(listed):
        twice = next(one for one in listed if listed.count(one) > 1)
        raise BadRow(f"the candidate {names.told(twice)} stands there twice")
    return {
        "id": cells["id"],
        "user": cells["user"],
        "history": history,
        "barred": list(dict.fromkeys(history)),
        "candidates": listed or None,
    }


def found(names: Names, *lists: Sequence[str]) -> list[list[str]]:
    """The ids of lists of names; everything that is wrong with them is told at once."""
    ids, wrong = list[list[str]](), list[Unknown]()
    for listed in lists:
        ids.append([])
        for name in listed:
            try:
                ids[-1].append(names.find(name))
            except Unknown as unknown:
                wrong.append(unknown)
    if wrong:
        raise Unknown("; ".join(one.wrong for one in wrong), wrong[0].do)
    return ids


def completed(request: dict[str, Any], users: dict[str, tuple[list[str], list[str]]]) -> str | None:
    """Add what is known of the user, and bar what is not to be recommended; or what is wrong."""
    if request["user"] is not None:
        if request["user"] not in users:
            return f"{request['user']!r} is no user of this dataset"
        request["history"], request["barred"] = users[request["user"]]
    if request["candidates"]:
        barred = {*request["barred"]}
        request["candidates"] = [one for one in request["candidates"] if one not in barred]
        if not request["candidates"]:
            return "all of its candidates are in its history already"
    return None


def users_of(prepared: Prepared, users: Collection[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Of each user who is known: all of the history, oldest first, and all items in any split.

    These are one list where a user has one row of data, which tells their order; where the data
    have several rows a user, the history is that of the latest sample, its target at the end.
    """
    if not users:
        return {}
    asked = pl.LazyFrame({"user_id": sorted(users)})

    def of(table: str, items: pl.Expr) -> dict[str, list[str]]:
        found = prepared.scan(table).join(asked, on="user_id", how="semi")
        rows = found.select("user_id", items=items).collect()
        return dict(zip(rows["user_id"], rows["items"].to_list(), strict=True))

    owned, latest = of("owned", pl.col("items")), of("sequences", pl.col("items"))
    for split in ("train", "validation", "test"):
        latest |= of(split, pl.concat_list("history", "target"))
    return {
        user: (items if runs_in(latest.get(user, []), items) else latest[user], items)
        for user, items in owned.items()
    }


def runs_in(part: list[str], whole: list[str]) -> bool:
    """Whether a list stands within another, uninterrupted."""
    if not part:
        return True
    start = whole.index(part[0]) if part[0] in whole else 0
    return whole[start : start + len(part)] == part
