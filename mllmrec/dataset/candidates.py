"""The pool of items, and a column of candidates a protocol: the target among its negatives."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl

from mllmrec.dataset.negatives import Draw, keys, shuffled
from mllmrec.errors import Refusal

PROTOCOL = r"^(uni|pop)[1-9]\d*$"  # how negatives are drawn, and how many


@dataclass(frozen=True, kw_only=True)
class Pool:
    """All items that occur in the data, and who owns which.

    ``item_ids`` and ``user_ids`` give the numbers that the arrays hold; ``trained`` (items,)
    counts training interactions; ``owned`` the sorted numbers user · pool + item, any split.
    """

    item_ids: pl.Series
    user_ids: pl.Series
    trained: np.ndarray
    owned: np.ndarray

    @classmethod
    def of(cls, plan: pl.DataFrame) -> Self:
        """The pool of a plan (see ``split``); items and users in the order of their ids."""
        pairs = plan.select("user_id", pl.col("items").alias("item_id")).explode("item_id")
        item_ids = pairs["item_id"].unique().sort()
        user_ids = pairs["user_id"].unique().sort()
        trained = plan.select(pl.col("items").list.head("trained")).explode("items").drop_nulls()
        item = numbers(pairs["item_id"], item_ids)
        owned = numbers(pairs["user_id"], user_ids) * len(item_ids) + item
        counts = np.bincount(numbers(trained["items"], item_ids), minlength=len(item_ids))
        return cls(item_ids=item_ids, user_ids=user_ids, trained=counts, owned=np.unique(owned))

    @cached_property
    def size(self) -> int:
        return len(self.item_ids)

    def weights(self, protocol: str) -> np.ndarray:
        """What negatives are drawn by: 1 an item, or its training interactions."""
        return self.trained if protocol.startswith("pop") else np.ones_like(self.trained)

    def candidates(self, samples: pl.DataFrame, protocol: str, *, seed: int) -> pl.Series:
        """A list of item ids a sample, shuffled once.

        Raises Refusal where a user leaves fewer items than the protocol needs.
        """
        kind, count = protocol[:3], int(re.sub(r"\D", "", protocol))
        draw = Draw(weights=self.weights(protocol), owned=self.owned, count=count)
        user = numbers(samples["user_id"], self.user_ids)
        self._check(draw, user, kind)
        key = keys(seed, protocol, samples["sample_id"].to_list())
        target = numbers(samples["target"], self.item_ids)
        chosen = shuffled(key, target, draw.negatives(key, user))
        ids = self.item_ids.gather(chosen.ravel())
        return ids.reshape((len(samples), count + 1)).arr.to_list().alias(protocol)

    def _check(self, draw: Draw, user: np.ndarray, kind: str) -> None:
        left = draw.left(len(self.user_ids))[user]
        if len(user) == 0 or left.min() >= draw.count:
            return
        worst = self.user_ids[int(user[left.argmin()])]
        most = int(left.min())
        short = int(np.unique(user[left < draw.count]).size)
        raise Refusal(
            f"fewer items than candidates: {kind}{draw.count} needs {draw.count} negatives, but"
            f" user {worst!r} leaves {most} of the {np.count_nonzero(draw.weights)} items"
            f" ({short} users leave too few)",
            allowed=f"at most {kind}{most} on this data" if most else "a data set with more items",
            do=f"prepare.protocols=[{kind}{max(most, 1)}]"
            f" prepare.train_protocol={kind}{max(most, 1)}, a lower dataset.k_core, or more items",
        )


def numbers(ids: pl.Series, among: pl.Series) -> np.ndarray:
    """The place of each id in a sorted series that holds them all: int64."""
    return among.search_sorted(ids).cast(pl.Int64).to_numpy()
