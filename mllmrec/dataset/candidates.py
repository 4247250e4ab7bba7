"""The pool of items, and candidates by a protocol: the target among its negatives."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
from pydantic import BeforeValidator, Field

from mllmrec.dataset.coded import Array, Lists
from mllmrec.dataset.hard import Hard, drawn_from
from mllmrec.dataset.lines import log_join
from mllmrec.dataset.negatives import Draw, keys, shuffled
from mllmrec.dataset.split import Plan, Targets
from mllmrec.errors import Refusal

PROTOCOL = r"^(uni|pop|hard)[1-9]\d*$"  # how negatives are drawn, and how many
FULL = "full"  # the whole catalogue, for which nothing is drawn and which no prompt lists
LOOKED_AT = 1 << 18  # samples whose own items are counted at once


def as_drawn(protocol: object) -> object:
    """The protocol itself; ValueError, in words instead of a pattern's, where nobody draws it."""
    if isinstance(protocol, str) and not re.match(PROTOCOL, protocol):
        raise ValueError(
            "uniN, popN or hardN with N negatives, such as uni9 (full stands in evaluate.protocols,"
            " prepare.train_protocol and probes alone, as nothing is drawn for it)"
        )
    return protocol


def as_known(protocol: object) -> object:
    """As ``as_drawn``, or the whole catalogue."""
    return protocol if protocol == FULL else as_drawn(protocol)


Drawn = Annotated[str, Field(pattern=PROTOCOL), BeforeValidator(as_drawn)]
DrawnOrFull = Annotated[str, Field(pattern=rf"{PROTOCOL}|^{FULL}$"), BeforeValidator(as_known)]


def parsed(protocol: str) -> tuple[str, int]:
    """The kind of a protocol that is drawn, and how many negatives it has."""
    kind, count = re.fullmatch(r"([a-z]+)(\d+)", protocol).groups()  # type: ignore[union-attr]
    return kind, int(count)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """All items that occur in the data, and whom they are not given to as negatives.

    ``exclude``: ``own`` bars all items that the user has in any split, and so is right.
    ``history`` bars the target and the ``history_length`` items before it alone, as the
    published scripts do with their last nine; what is wrong with that: items that the user did
    choose, before or afterwards, are called negatives, and whoever ranks them high, rightly, is
    marked down. ``popularity`` (items,) is what ``pop`` draws by; ``hard`` what ``hard`` does.
    """

    plan: Plan
    exclude: Literal["own", "history"]
    history_length: int
    popularity: Array
    hard: Hard | None

    @property
    def item_ids(self) -> pl.Series:
        return self.plan.item_ids

    @property
    def size(self) -> int:
        return len(self.plan.item_ids)

    def weights(self, protocol: str) -> Array:
        """What negatives are drawn by: 1 an item, or its popularity."""
        return self.popularity if protocol.startswith("pop") else np.ones_like(self.popularity)

    def barred(self, some: Targets) -> tuple[Lists, Array]:
        """Lists of items, and which of them each sample is not to be given."""
        if self.exclude == "own":
            return self.plan.owned, self.plan.user[some.row]
        behind = Targets(row=some.row, at=some.at + 1)
        return self.plan.history(behind, self.history_length + 1), np.arange(len(some))

    def candidates(
        self, some: Targets, sample_ids: list[str], protocol: str, *, seed: int
    ) -> Array:
        """Places of items (samples, 1 + negatives), shuffled once; see `check`."""
        kind, count = parsed(protocol)
        key = keys(seed, protocol, sample_ids)
        barred, group = self.barred(some)
        if kind == "hard":
            negatives = drawn_from(self.among(some), key, count)
        else:
            draw = Draw(weights=self.weights(protocol), barred=barred, count=count)
            negatives = draw.negatives(key, group)
        return shuffled(key, self.plan.target(some), negatives)

    def among(self, some: Targets) -> Lists:
        """The items that hard negatives are drawn from, a list a sample."""
        assert self.hard is not None  # the stage makes it where a protocol asks for it
        barred, group = self.barred(some)
        return self.hard.lists(some, barred, group)

    def left(self, samples: Targets, protocol: str) -> Iterator[tuple[Array, Array]]:
        """The users of samples, and how many items each sample leaves to draw from, in parts."""
        draw = Draw(weights=self.weights(protocol), barred=self.plan.owned, count=0)
        by_user = draw.left() if self.exclude == "own" else None
        for _, some in samples.parts(LOOKED_AT):
            users = self.plan.user[some.row]
            barred, group = self.barred(some)
            if protocol.startswith("hard"):
                assert self.hard is not None
                yield users, self.hard.left(some, barred, group)
            elif by_user is not None:
                yield users, by_user[users]
            else:
                yield users, replace(draw, barred=barred).left()

    def check(self, samples: Targets, protocol: str) -> None:
        """Refuse samples that leave fewer items than the protocol needs."""
        kind, count = parsed(protocol)
        worst, short = (count, 0), set[int]()
        for users, left in self.left(samples, protocol):
            worst = min(worst, (int(left.min()), int(users[left.argmin()])))
            short.update(users[left < count].tolist())
        if not short:
            return
        most, user = worst
        of = self.size if kind == "hard" else int(np.count_nonzero(self.weights(protocol)))
        raise Refusal(
            f"fewer items than candidates: {protocol} needs {count} negatives, but"
            f" user {self.plan.user_ids[user]!r} leaves {most} of the {of} items"
            f" ({len(short)} users leave too few)",
            allowed=f"at most {kind}{most} on this data" if most else "a data set with more items",
            do=f"prepare.protocols=[{kind}{max(most, 1)}]"
            f" prepare.train_protocol={kind}{max(most, 1)}, a lower dataset.k_core, or more items",
        )


def numbers(ids: pl.Series, among: pl.Series) -> Array:
    """The place of each id in a sorted series that holds them all: int64."""
    return among.search_sorted(ids).cast(pl.Int64).to_numpy()


def stored_weights(file: Path, item_ids: pl.Series) -> Array:
    """What a table (Parquet: item_id, weight) says of each item, 0 where it does not know it.

    Raises:
        Refusal: it is no such table, an item stands twice, or nothing of it is an item here.
    """
    wrong = f"prepare.weights={file}"
    do = "type prepare.weights=FILE with popularity.parquet of another prepare, or null"
    allowed = "a Parquet table item_id (text), weight (whole numbers from 0), an item once"
    try:
        table = pl.read_parquet(file, columns=["item_id", "weight"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise Refusal(f"{wrong}: cannot be read ({error})", allowed=allowed, do=do) from error
    kinds = table["item_id"].dtype == pl.String and table["weight"].dtype.is_integer()
    if not kinds or table["item_id"].is_duplicated().any() or sum(table.null_count().row(0)):
        raise Refusal(f"{wrong}: {table.schema}, or an item twice", allowed=allowed, do=do)
    if (table["weight"] < 0).any():
        raise Refusal(f"{wrong}: a weight below 0", allowed=allowed, do=do)
    known = pl.DataFrame({"item_id": item_ids}).join(
        table, on="item_id", how="left", maintain_order="left"
    )["weight"]
    log_join(f"items have a weight in {file.name}", len(known) - known.null_count(), len(known))
    weights = known.fill_null(0).cast(pl.Int64).to_numpy()
    if not weights.any():
        raise Refusal(f"{wrong}: weighs no item of this data", allowed=allowed, do=do)
    return weights
