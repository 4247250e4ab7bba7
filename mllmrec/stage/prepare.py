"""From raw interactions to samples with candidates: filters, split, negatives, audit."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import polars as pl
from pydantic import Field, PositiveInt, model_validator

from mllmrec.dataset.audit import audit, fingerprint, judge
from mllmrec.dataset.base import Dataset, Tables, shaped
from mllmrec.dataset.candidates import PROTOCOL, Pool
from mllmrec.dataset.filters import k_core, sequences, without_repeats
from mllmrec.dataset.lines import log_join
from mllmrec.dataset.oracle import oracle_metrics, oracle_scores
from mllmrec.dataset.placed import adopted
from mllmrec.dataset.split import as_published, leave_one_out, samples, training_sequences
from mllmrec.dataset.stored import Role, asked, files, read
from mllmrec.errors import Refusal
from mllmrec.records import ITEMS, Split
from mllmrec.schema import NoEffect
from mllmrec.stage import adopt
from mllmrec.stage.base import Job, Metrics, Stage

if TYPE_CHECKING:
    from mllmrec.schema import Config

log = logging.getLogger(__name__)
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Protocol = Annotated[str, Field(pattern=PROTOCOL)]


class Prepare(Stage):
    """Publishes the records that every later stage reads (``records.Prepared``).

    ``adopt`` takes candidates from the published scripts' own samples instead of drawing them.
    """

    name: ClassVar[str] = "prepare"
    uses: ClassVar[tuple[str, ...]] = ("dataset",)

    history_length: PositiveInt
    min_history: PositiveInt
    protocols: Annotated[list[Protocol], Field(min_length=1)]
    train_protocol: Protocol
    adopt: Annotated[Path | list[Path] | None, NoEffect()]
    min_join: Annotated[float, Field(ge=0, le=1), NoEffect()]

    @model_validator(mode="after")
    def _knobs_agree(self) -> Self:
        if self.min_history > self.history_length:
            raise ValueError("must hold: prepare.min_history <= prepare.history_length")
        if len(set(self.protocols)) < len(self.protocols):
            raise ValueError(f"prepare.protocols: one stands twice in {self.protocols}")
        return self

    def check(self, config: "Config") -> None:
        dataset = config.dataset
        if self.adopt and (config.dataset_name != "reference" or dataset.windows != "last"):
            raise Refusal(
                f"prepare.adopt: samples of the published scripts, and dataset="
                f"{config.dataset_name} dataset.windows={dataset.windows}",
                allowed="dataset=reference dataset.windows=last, one sample a line as theirs",
                do="type dataset=reference dataset.path=DIR, or prepare.adopt=null",
            )

    def effective(self, config: "Config") -> dict[str, Any]:
        told = super().effective(config)
        by_role: dict[str, list[Path]] = {}
        for file, role in self.roles().items():
            by_role.setdefault(f"{role.split} {role.protocol}", []).append(file)
        return told | {role: adopt.files_identity(found) for role, found in by_role.items()}

    def roles(self) -> dict[Path, Role]:
        """The adopted files whose candidates are asked for."""
        if not self.adopt:
            return {}
        return asked(files(self.adopt), train=self.train_protocol, test=self.protocols)

    def run(self, job: Job) -> Metrics:
        """Write the tables, ``stats.json`` and, where the process is known, the oracle."""
        dataset = job.group(Dataset)
        tables = dataset.load(job.out)
        plan, dropped = planned(dataset, tables)
        pool = Pool.of(plan)
        made = {split: self.samples(split, dataset, plan, pool, job.seed) for split in SPLITS}
        known = tables.items["item_id"]
        if self.adopt:
            made, counts = self.adopted(made, plan, known)
            dropped = {**dropped, **counts}
        items = tables.items.filter(known.is_in(self.met(pool, made).implode()))
        log_join("items of the pool have a picture", items["picture"].count(), items.height)

        trained = training_sequences(plan)
        shaped(items, ITEMS).write_parquet(job.out / "items.parquet")
        trained.write_parquet(job.out / "sequences.parquet")
        for split, table in made.items():
            table.drop("earlier").write_parquet(job.out / f"{split}.parquet")
        metrics = self.ask_oracle(job.out, tables, made["test"], pool)
        return metrics | self.tell(job.out, made, trained, plan, pool, dropped)

    def adopted(
        self, made: dict[Split, pl.DataFrame], plan: pl.DataFrame, known: pl.Series
    ) -> tuple[dict[Split, pl.DataFrame], dict[str, int]]:
        """The samples with the published candidates, and counts of what became of them."""
        roles = self.roles()
        drawn = {*self.protocols} - {
            role.protocol for role in roles.values() if role.split == "test"
        }
        for file, role in roles.items():
            log.info("prepare.adopt: %s candidates of %s from %s", role.split, role.protocol, file)
        log.info("prepare.adopt: candidates of the test drawn here: %s", sorted(drawn) or "none")
        return adopted(
            made,
            plan,
            known,
            roles,
            reader=lambda file, role: adopt.read(file, partial(read, role=role)),
            min_join=self.min_join,
        )

    def met(self, pool: Pool, made: dict[Split, pl.DataFrame]) -> pl.Series:
        """The ids of the pool, and of adopted candidates that nobody ever chose."""
        listed = (made[split][name] for split in SPLITS for name in self.columns(split))
        return pl.concat([pool.item_ids, *(column.explode() for column in listed)]).unique()

    def columns(self, split: Split) -> dict[str, str]:
        """The columns of candidates in a split's table, and the protocol that fills each."""
        if split == "train":
            return {"train": self.train_protocol}
        return {protocol: protocol for protocol in self.protocols}

    def samples(
        self, split: Split, dataset: Dataset, plan: pl.DataFrame, pool: Pool, seed: int
    ) -> pl.DataFrame:
        """One split's samples with their candidates, and ``earlier``; refuses none."""
        table = samples(
            plan,
            split,
            windows=dataset.windows,
            history_length=self.history_length,
            min_history=self.min_history,
        )
        if table.is_empty():
            raise self.none_long_enough(split, plan)
        return table.with_columns(
            pool.candidates(table, protocol, seed=seed).alias(name)
            for name, protocol in self.columns(split).items()
        )

    def none_long_enough(self, split: Split, plan: pl.DataFrame) -> Refusal:
        longest = plan.select(pl.col("items").list.len().max()).item()
        return Refusal(
            f"no user is long enough for a {split} sample: the longest of {plan.height} has"
            f" {longest} items",
            allowed=f"a target with at least prepare.min_history={self.min_history} items before"
            " it, and beside it a validation and a test item",
            do="prepare.min_history=1, or data with longer histories",
        )

    def ask_oracle(self, out: Path, tables: Tables, test: pl.DataFrame, pool: Pool) -> Metrics:
        """Write ``oracle.parquet`` and return the best possible metrics; none where unknown."""
        (out / "oracle.parquet").unlink(missing_ok=True)
        if tables.oracle is None:
            return {}
        scores = oracle_scores(
            tables.oracle,
            test,
            items=tables.items["item_id"],
            pool=pool,
            protocols=self.protocols,
        )
        scores.write_parquet(out / "oracle.parquet")
        metrics = oracle_metrics(scores, test)
        told = ", ".join(
            f"{key.removeprefix('oracle/')} {value:.3f}" for key, value in metrics.items()
        )
        log.info("best possible: %s", told)
        return metrics

    def tell(
        self,
        out: Path,
        made: dict[Split, pl.DataFrame],
        trained: pl.DataFrame,
        plan: pl.DataFrame,
        pool: Pool,
        dropped: dict[str, int],
    ) -> Metrics:
        """Write ``stats.json``, log it in a few lines, and return its counts."""
        counts = {
            "users": plan["user_id"].n_unique(),
            "items": pool.size,
            "interactions": int(plan["items"].list.len().sum()),
            **{f"{split}_samples": table.height for split, table in made.items()},
        }
        leaks = audit(made, trained, {split: [*self.columns(split)] for split in SPLITS})
        hashes = {
            f"{split}/{name}": fingerprint(table, name)
            for split, table in made.items()
            for name in self.columns(split)
        }
        stats: dict[str, Any] = {"counts": counts, "dropped": dropped, "audit": leaks}
        stats["candidates"] = hashes
        (out / "stats.json").write_text(json.dumps(stats, indent=2, sort_keys=True) + "\n")
        for what, facts in stats.items():
            log.info("%s: %s", what, ", ".join(f"{name} {fact}" for name, fact in facts.items()))
        judge(leaks)
        return {name: float(count) for name, count in counts.items()}


def planned(dataset: Dataset, tables: Tables) -> tuple[pl.DataFrame, dict[str, int]]:
    """The plan of the split after all filters, and how many were left out, by reason."""
    if tables.rows is not None:
        long = pl.col("items").list.len() >= dataset.min_interactions
        rows = tables.rows.filter(long)
        dropped = {"short_rows": tables.rows.height - rows.height}
        return as_published(_some(rows, dataset)), {**tables.dropped, **dropped}
    first, dropped = without_repeats(pl.concat(tables.interactions))
    core = k_core(first, per_user=dataset.min_interactions, per_item=dataset.k_core)
    dropped["filtered"] = first.height - core.height
    dropped["filtered_users"] = first["user_id"].n_unique() - core["user_id"].n_unique()
    dropped["filtered_items"] = first["item_id"].n_unique() - core["item_id"].n_unique()
    return leave_one_out(sequences(_some(core, dataset))), {**tables.dropped, **dropped}


def _some(rows: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """The rows themselves; refuses none."""
    if rows.is_empty():
        raise Refusal(
            f"no user is long enough: nobody has dataset.min_interactions="
            f"{dataset.min_interactions} interactions (with dataset.k_core={dataset.k_core})",
            allowed="filters that leave someone",
            do="a lower dataset.min_interactions, or dataset.k_core=null",
        )
    return rows
