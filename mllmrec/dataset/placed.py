"""Published candidates on our samples, by what a sample is: its history and its target."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from mllmrec.dataset.lines import log_join
from mllmrec.dataset.published import SHOWN
from mllmrec.dataset.split import Plan, Targets
from mllmrec.dataset.stored import Role, Stored
from mllmrec.errors import Refusal
from mllmrec.records import Split

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Placing:
    """Which of our samples each of their samples is.

    Theirs carry no user, so two users with the same last items and target are told apart by
    their order alone, which is that of the .tsv files in both. ``rows`` are (user_id, earlier,
    target), those of one file.
    """

    open: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    users: list[str]
    earlier: list[list[str]]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "Placing":
        made = cls(users=rows["user_id"].to_list(), earlier=rows["earlier"].to_list())
        for number, (items, target) in enumerate(zip(made.earlier, rows["target"], strict=True)):
            made.open[target, items[-1]].append(number)
        return made

    def take(self, one: Stored) -> int | None:
        """The number of the first row that fits and is not taken yet, or None."""
        history = [item for item in unrepeated(one.history) if item != one.target_id]
        rows = self.open.get((one.target_id, history[-1]), []) if history else []
        for place, number in enumerate(rows):
            is_users = one.user_id in (None, self.users[number])
            if is_users and self.earlier[number][-len(history) :] == history:
                return rows.pop(place)
        return None


def unrepeated(items: Iterable[str]) -> list[str]:
    """Each item at its last place, as the .tsv files are read."""
    return list(dict.fromkeys(reversed(list(items))))[::-1]


def agreed(found: Mapping[Path, Sequence[Stored]]) -> Sequence[Stored]:
    """The samples of files that are for the same; refuses where they have other candidates."""
    (first, samples), *others = found.items()
    for file, other in others:
        if [keyed(one) for one in samples] != [keyed(one) for one in other]:
            raise Refusal(
                f"prepare.adopt: {first} and {file} are for the same samples, and their candidates"
                " differ",
                allowed="one of them",
                do=f"type 'prepare.adopt=[{first},…]' with each file that is meant",
            )
    return samples


def keyed(one: Stored) -> tuple[list[str], str, list[str]]:
    return one.history, one.target_id, one.candidates


def place(
    stored: Sequence[Stored],
    role: Role,
    rows: pl.DataFrame,
    known: Iterable[str],
    *,
    min_join: float,
) -> pl.Series:
    """Their candidates, one list or null a row.

    Raises:
        Refusal: an item of theirs is not among the ``known`` ones, or fewer than a share of
            ``min_join`` of them are found among the rows.
    """
    placing, ids = Placing.of(rows), set(known)
    column: list[list[str] | None] = [None] * len(rows)
    lost: list[str] = []
    for number, one in enumerate(stored, start=1):
        if (row := placing.take(one)) is None:
            lost.append(f"entry {number} (target '{one.target_id}', after '{one.history[-1]}')")
            continue
        if strange := [item for item in one.candidates if item not in ids]:
            raise unknown(role, number, strange[0])
        column[row] = one.candidates
    log_join(f"{role.split} samples of neg{role.negatives} found theirs", *hits(stored, lost))
    if len(lost) > (1 - min_join) * len(stored) or len(lost) == len(stored):
        raise too_few(role, stored, lost, min_join)
    if lost:
        log.warning("%d are of no sample here, such as %s", len(lost), "; ".join(lost[:SHOWN]))
    return pl.Series(column, dtype=pl.List(pl.String))


def hits(stored: Sequence[Stored], lost: Sequence[str]) -> tuple[int, int]:
    return len(stored) - len(lost), len(stored)


def unknown(role: Role, number: int, item: str) -> Refusal:
    return Refusal(
        f"prepare.adopt, {role.split} samples of neg{role.negatives}, entry {number}, field"
        f" candidates, value '{item}': the item has no title in this dataset",
        allowed="candidates that stand in NAME_titles.csv",
        do="type prepare.adopt=DIR and dataset.path=DIR of the same dataset",
    )


def too_few(role: Role, stored: Sequence[Stored], lost: list[str], min_join: float) -> Refusal:
    found, all_ = hits(stored, lost)
    return Refusal(
        f"prepare.adopt: {found} of {all_} {role.split} samples of neg{role.negatives} are"
        f" samples of this dataset; not {'; '.join(lost[:SHOWN])}",
        allowed=f"a share of prepare.min_join={min_join:g} at least, with the same history and"
        " target at the end of a line of the .tsv files",
        do="type prepare.adopt=DIR and dataset.path=DIR of the same dataset",
    )


def adopted(
    made: Mapping[Split, pl.DataFrame],
    plan: Plan,
    known: Iterable[str],
    roles: Mapping[Path, Role],
    *,
    reader: Callable[[Path, Role], Sequence[Stored]],
    min_join: float,
) -> tuple[dict[Split, pl.DataFrame], dict[str, int]]:
    """The samples (see `whole`) with their candidates, and counts of what became of them.

    A sample that their files do not have is left out. Their training samples of users who are
    for validation here are not used: validation has candidates of our own.
    """
    tables, counts, ids = dict(made), {}, set(known)
    for role in dict.fromkeys(roles.values()):
        files = [file for file in roles if roles[file] == role]
        stored = agreed({file: reader(file, role) for file in files})
        rows = lines(made, role.split)
        theirs = place(stored, role, rows, ids, min_join=min_join).alias(role.column)
        found = rows.select("sample_id", theirs).drop_nulls()
        table, name = tables[role.split], role.column
        kept = table.join(found, on="sample_id", how="inner", maintain_order="left")
        tables[role.split] = kept
        counts[f"{role.split}/{name}_samples_left_out"] = table.height - kept.height
        own = own_negatives(kept, name, plan)
        counts[f"{role.split}/{name}_with_own_items_as_negatives"] = own
    for what, count in counts.items():
        if count:
            log.warning("prepare.adopt: %s %d", what, count)
    return tables, counts


def whole(plan: Plan, some: Targets) -> pl.DataFrame:
    """Samples to find theirs for: ``sample_id``, ``user_id``, ``earlier``, ``target``, ``row``.

    ``earlier`` are all items before the target, ``row`` is the line of the files.
    """
    told = plan.described(some, history_length=1).drop("history")
    return told.with_columns(plan.earlier(some), pl.Series("row", some.row))


def lines(made: Mapping[Split, pl.DataFrame], split: Literal["train", "test"]) -> pl.DataFrame:
    """The samples of one .tsv file in the order of its lines."""
    parts: list[Split] = ["test"] if split == "test" else ["train", "validation"]
    columns = ("sample_id", "user_id", "earlier", "target", "row")
    return pl.concat([made[part].select(columns) for part in parts]).sort("row")


def own_negatives(table: pl.DataFrame, name: str, plan: Plan) -> int:
    """How many samples have an item of the user's own, from any line, among the negatives."""
    users = plan.user_ids.gather(np.repeat(np.arange(len(plan.user_ids)), plan.owned.length))
    items = plan.item_ids.gather(plan.owned.flat)
    pairs = pl.DataFrame([users.alias("user_id"), items.alias("item")])
    listed = table.select("sample_id", "user_id", "target", pl.col(name).alias("item"))
    negatives = listed.explode("item").filter(pl.col("item") != pl.col("target"))
    return negatives.join(pairs, on=["user_id", "item"], how="semi")["sample_id"].n_unique()
