"""From interactions in file order to one list of items a user: repeats, k-core, time order."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mllmrec.dataset.coded import Array, Coded, chunks, counted, gathered, spans, starts


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Each user's interactions, one user behind the other; every user has some.

    Those of user k are ``start[k] : start[k + 1]`` of ``item`` (places in ``item_ids``, which are
    sorted) and ``time``.
    """

    user_ids: pl.Series
    item_ids: pl.Series
    start: Array
    item: Array
    time: Array

    @property
    def size(self) -> int:
        return int(self.start[-1])

    @property
    def length(self) -> Array:
        return np.diff(self.start)


@dataclass(frozen=True, kw_only=True)
class Met(Sequences):
    """The same while it is filtered: ``row`` is the place of an interaction in the file."""

    row: Array


def by_user(coded: Coded) -> Met:
    """The interactions of each user, in the order of the file."""
    count = counted(coded.user, len(coded.user_ids))
    place = np.left_shift(coded.user, 32, dtype=np.int64)  # user, then row: no two are equal
    place += np.arange(len(place))
    place.sort()
    row = (place & 0xFFFFFFFF).astype(np.uint32)
    del place
    return Met(
        user_ids=coded.user_ids.gather(np.flatnonzero(count)),
        item_ids=coded.item_ids,
        start=starts(count[count > 0]),
        item=gathered(coded.item, row),
        time=gathered(coded.time, row),
        row=row,
    )


def without_repeats(met: Met) -> tuple[Met, dict[str, int]]:
    """Each (user, item) once, at its first time, oldest first; how many rows went, by reason.

    Ties in time keep the order of the file. ``duplicates`` are rows equal in user, item and
    timestamp; ``repeats`` the same item met again later, which leaves a sequence because the
    task is the next *new* item. The arrays of ``met`` are used up.
    """
    gone, end, length = {"duplicates": 0, "repeats": 0}, 0, []
    for begin, until in chunks(met.start):
        part = slice(met.start[begin], met.start[until])
        user = np.repeat(np.arange(until - begin), met.length[begin:until])
        order = np.lexsort((met.time[part], user))  # stable
        item, time, row = (column[part][order] for column in (met.item, met.time, met.row))
        pair = user * len(met.item_ids) + item
        by = np.argsort(pair, kind="stable")
        again = pair[by[1:]] == pair[by[:-1]]
        equal = int((again & (time[by[1:]] == time[by[:-1]])).sum())
        gone["duplicates"] += equal
        gone["repeats"] += int(again.sum()) - equal
        kept = np.ones(len(by), bool)
        kept[by[1:][again]] = False
        length.append(np.bincount(user[kept], minlength=until - begin))
        place = slice(end, end := end + int(kept.sum()))  # never beyond what was read
        met.item[place], met.time[place], met.row[place] = item[kept], time[kept], row[kept]
    start = starts(np.concatenate([np.empty(0, np.int64), *length]))
    once = replace(met, start=start, item=met.item[:end], time=met.time[:end], row=met.row[:end])
    return once, gone


def k_core(met: Met, *, per_user: int, per_item: int | None) -> Met:
    """The largest part where each user has ``per_user`` rows and each item ``per_item``.

    Dropping a user can make an item too rare and the other way round, so it is repeated
    until nothing goes; without ``per_item`` one pass is enough.
    """
    while met.size:
        kept = np.repeat(met.length >= per_user, met.length)
        if per_item is not None:
            kept &= gathered(counted(met.item, len(met.item_ids)) >= per_item, met.item)
        if kept.all():
            break
        length = np.add.reduceat(kept, met.start[:-1], dtype=np.int64)
        met = replace(
            met,
            user_ids=met.user_ids.gather(np.flatnonzero(length)),
            start=starts(length[length > 0]),
            item=met.item[kept],
            time=met.time[kept],
            row=met.row[kept],
        )
    return met


def sequences(met: Met) -> Sequences:
    """The same with users in the order of their first row, and items that occur alone."""
    first = np.minimum.reduceat(met.row, met.start[:-1]) if met.size else met.row
    order = np.argsort(first)
    start = starts(met.length[order])
    item, time = np.empty_like(met.item), np.empty_like(met.time)
    for begin, until in chunks(start):
        users = order[begin:until]
        places = spans(met.start[users], met.length[users])
        item[start[begin] : start[until]] = met.item[places]
        time[start[begin] : start[until]] = met.time[places]
    occurs = counted(item, len(met.item_ids)) > 0
    number = (np.cumsum(occurs) - 1).astype(np.uint32)
    return Sequences(
        user_ids=met.user_ids.gather(order),
        item_ids=met.item_ids.filter(pl.Series(occurs)),
        start=start,
        item=gathered(number, item),
        time=time,
    )


def distinct_items(met: Sequences) -> int:
    return int(np.count_nonzero(counted(met.item, len(met.item_ids))))
