"""Hard negatives: drawn from the items that a sample's own history speaks for most."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from mllmrec.dataset.coded import Array, Lists, chunks, spans, starts
from mllmrec.dataset.lines import log_join
from mllmrec.dataset.negatives import Mine, uniforms
from mllmrec.dataset.split import Plan, Targets
from mllmrec.errors import Refusal

log = logging.getLogger(__name__)
NEAREST = 1000  # of an item by cosine; more distant ones count as 0
CELLS = 1 << 23  # of a table whose columns are all items; bounds memory, changes nothing


class Hard(Protocol):
    """Whoever names the items that hard negatives are drawn from.

    ``barred`` has a list of items for each group of samples (a user, or a sample), ``group``
    (samples,) says which: what is barred to a user of many samples is not copied for each.
    """

    def lists(self, some: Targets, barred: Lists, group: Array) -> Lists:
        """A list of items a sample, without those that are barred to it."""
        ...

    def left(self, some: Targets, barred: Lists, group: Array) -> Array:
        """How long these lists are."""
        ...


def drawn_from(lists: Lists, key: Array, count: int) -> Array:
    """``count`` of each list, all equally likely: (lists, count)."""
    width = int(lists.length.max(initial=count))
    chance = uniforms(key[:, None], np.arange(width))
    chance[np.arange(width) >= lists.length[:, None]] = np.inf
    place = np.argsort(chance, axis=1, kind="stable")[:, :count]
    return lists.flat[lists.start[:-1, None] + place].astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Cooccurring:
    """The ``most`` items with the largest sum of cosines to the items of the history.

    ``cosine`` (items, items), sparse, has the NEAREST of each item, by its training
    interactions (as ``policy/baselines.py``). Ties, as those at 0, go to the more popular item,
    then to the first id; ``order`` (items,) has all items by that. Each sample and each item
    costs a look at all items: a millisecond or two where these are 20,000.
    """

    plan: Plan
    history_length: int
    most: int
    cosine: Any
    order: Array

    @classmethod
    def of(cls, plan: Plan, *, history_length: int, most: int) -> "Cooccurring":
        order = np.argsort(-plan.popularity, kind="stable")
        return cls(
            plan=plan,
            history_length=history_length,
            most=most,
            cosine=nearest(plan, order),
            order=order,
        )

    def lists(self, some: Targets, barred: Lists, group: Array) -> Lists:
        from scipy import sparse

        items = len(self.plan.item_ids)
        parts = [np.empty((0, min(self.most, items)), np.int64)]
        kept = [np.empty(0, np.int64)]
        for places, part in some.parts(max(1, CELLS // items)):
            history = self.plan.history(part, self.history_length)
            ones = np.ones(len(history.flat))
            met = sparse.csr_array((ones, history.flat, history.start), shape=(len(part), items))
            score = (met @ self.cosine).toarray()
            mine = barred.take(group[places])  # no more than there are scores
            score[mine.owner, mine.flat] = -1.0  # below all that is not barred
            chosen = self.order[top(score[:, self.order], self.most)]
            parts.append(chosen)
            kept.append((np.take_along_axis(score, chosen, axis=1) >= 0).sum(axis=1))
        table, length = np.concatenate(parts), np.concatenate(kept)
        first = np.arange(len(table)) * table.shape[1]
        return Lists(start=starts(length), flat=table.ravel()[spans(first, length)])

    def left(self, some: Targets, barred: Lists, group: Array) -> Array:
        return np.minimum(len(self.plan.item_ids) - barred.length[group], self.most)


def top(scores: Array, most: int) -> Array:
    """Columns of the ``most`` largest scores of each row; ties go to the first columns.

    Those above the last one chosen come first, each kind in the order of the columns.
    """
    most = min(most, scores.shape[1])
    last = np.partition(scores, -most, axis=1)[:, -most, None]
    above, equal = scores > last, scores == last
    equal &= equal.cumsum(axis=1) <= most - above.sum(axis=1, keepdims=True)
    parts = [np.nonzero(part) for part in (above, equal)]
    row, column = (np.concatenate(both) for both in zip(*parts, strict=True))
    return column[np.argsort(row, kind="stable")].reshape(len(scores), most)


def nearest(plan: Plan, order: Array) -> Any:
    """Cosines of the NEAREST of each item, in blocks of items: sparse, (items, items)."""
    from scipy import sparse

    items = len(plan.item_ids)
    by_user = watched(plan)
    by_item = by_user.T.tocsr()
    norm = np.sqrt(np.maximum(np.diff(by_item.indptr), 1))
    blocks = []
    for begin in range(0, items, step := max(1, CELLS // items)):
        together = (by_item[begin : begin + step] @ by_user).toarray()
        rows = np.arange(len(together))
        together[rows, begin + rows] = 0
        cosine = together / (norm[begin + rows, None] * norm)
        chosen = order[top(cosine[:, order], NEAREST)]
        value = np.take_along_axis(cosine, chosen, axis=1)
        row, place = np.nonzero(value)
        shape = (len(together), items)
        blocks.append(sparse.csr_array((value[row, place], (row, chosen[row, place])), shape=shape))
    return sparse.vstack(blocks, format="csr")


def watched(plan: Plan) -> Any:
    """Who has which item among the training interactions: sparse ones, (users, items)."""
    from scipy import sparse

    parts = [(users, places.length, places.flat) for users, places in plan.training()]
    user = np.concatenate([np.empty(0, np.int64), *(np.repeat(u, n) for u, n, _ in parts)])
    item = np.concatenate([np.empty(0, np.uint32), *(plan.items.flat[at] for *_, at in parts)])
    shape = (len(plan.user_ids), len(plan.item_ids))
    table = sparse.coo_array((np.ones(len(user), np.int32), (user, item)), shape=shape).tocsr()
    table.data[:] = 1  # an item that is in several rows of a user counts once
    return table


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The best of the lists that a trained recommender made for each user.

    ``best`` has a list of items a user, best first; at most ``most`` are used of those that are
    not barred.
    """

    plan: Plan
    most: int
    best: Lists

    def lists(self, some: Targets, barred: Lists, group: Array) -> Lists:
        parts = [*self.parts(some, barred, group)]
        flat = np.concatenate([self.best.flat[:0], *(part.flat for part in parts)])
        length = np.concatenate([np.empty(0, np.int64), *(part.length for part in parts)])
        return Lists(start=starts(length), flat=flat)

    def left(self, some: Targets, barred: Lists, group: Array) -> Array:
        parts = (part.length for part in self.parts(some, barred, group))
        return np.concatenate([np.empty(0, np.int64), *parts])

    def parts(self, some: Targets, barred: Lists, group: Array) -> Iterator[Lists]:
        """The lists of a part of the samples after the other, each of about CELLS entries."""
        entries = self.best.length[self.plan.user[some.row]]
        met, first = np.unique(group, return_index=True)
        entries[first] += barred.length[met]
        for begin, end in chunks(starts(entries), CELLS):
            yield self.free(some[begin:end], barred, group[begin:end])

    def free(self, some: Targets, barred: Lists, group: Array) -> Lists:
        """Of each user's list the first ``most`` that are not barred to the sample."""
        mine = self.best.take(self.plan.user[some.row])
        own = Mine.of(barred, group, len(self.plan.item_ids))
        free = ~own.holds(mine.owner, mine.flat[:, None])[:, 0]
        before = starts(free)  # how many free ones come before each entry
        free &= before[:-1] - before[mine.start[:-1]][mine.owner] < self.most
        return Lists(start=starts(free)[mine.start], flat=mine.flat[free])

    @classmethod
    def read(cls, file: Path, plan: Plan, *, most: int) -> "Ranked":
        """From a table that the stage ``rank`` wrote: sample_id, ranked (item ids, best first).

        A user's samples all take from the user's list, which is that of the last one ranked.

        Raises:
            Refusal: it is no such table, or a user of the plan has no list.
        """
        wrong = f"prepare.hard={file}"
        do = "type prepare.hard=FILE with full.parquet of a rank of the same data, or cooccurrence"
        try:
            table = pl.read_parquet(file, columns=["sample_id", "ranked"])
            by_user = table.select(
                pl.col("sample_id").str.extract(r"(?s)^(.*):\d+$").alias("user_id"),
                pl.col("ranked").cast(pl.List(pl.String)),
            ).filter(pl.col("ranked").list.len() > 0)
        except (OSError, pl.exceptions.PolarsError) as error:
            allowed = "a Parquet table sample_id (USER:PLACE), ranked (lists of item ids)"
            raise Refusal(f"{wrong}: cannot be read ({error})", allowed=allowed, do=do) from error
        users = pl.DataFrame({"user_id": plan.user_ids})
        once = by_user.unique("user_id", keep="last", maintain_order=True)
        lists = users.join(once, on="user_id", how="left", maintain_order="left")["ranked"]
        found = len(lists) - lists.null_count()
        log_join(f"users have a list in {file.name}", found, len(lists))
        lost = users.filter(lists.is_null())["user_id"]
        if found < len(lists):
            raise Refusal(
                f"{wrong}: {len(lost)} of {len(lists)} users have no list, such as {lost[0]!r}",
                allowed="a list for every user, as evaluate.samples.full=null gives",
                do=do,
            )
        return cls.of(lists, plan, most=most)

    @classmethod
    def of(cls, lists: pl.Series, plan: Plan, *, most: int) -> "Ranked":
        """A list a user; items that the plan does not have are passed by."""
        numbers = pl.DataFrame(
            {"item": plan.item_ids, "number": np.arange(len(plan.item_ids), dtype=np.uint32)}
        )
        flat = pl.DataFrame({"item": lists.explode()}).join(
            numbers, on="item", how="left", maintain_order="left"
        )["number"]
        known = flat.is_not_null().to_numpy()
        whole = starts(lists.list.len().cast(pl.Int64).to_numpy())
        best = Lists(start=starts(known)[whole], flat=flat.drop_nulls().to_numpy())
        return cls(plan=plan, most=most, best=best)
