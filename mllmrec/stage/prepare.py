"""From raw interactions to samples with candidates: filters, split, negatives, audit."""

import json
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import Field, PositiveInt, model_validator

from mllmrec.dataset.audit import Audit, judge, table
from mllmrec.dataset.base import Dataset, Tables, shaped
from mllmrec.dataset.candidates import FULL, Drawn, DrawnOrFull, Pool, parsed, stored_weights
from mllmrec.dataset.filters import Sequences
from mllmrec.dataset.hard import Cooccurring, Hard, Ranked
from mllmrec.dataset.lines import log_join
from mllmrec.dataset.oracle import oracle_metrics, oracle_scores
from mllmrec.dataset.placed import adopted, whole
from mllmrec.dataset.planned import planned
from mllmrec.dataset.sampled import Sampled, write_owned, write_popularity, write_sequences
from mllmrec.dataset.split import SPLITS, Plan, Targets, leave_one_out, temporal
from mllmrec.dataset.stored import Role, asked, files, read
from mllmrec.errors import Refusal
from mllmrec.records import ITEMS, Split
from mllmrec.schema import Model, NoEffect
from mllmrec.stage import adopt
from mllmrec.stage.base import Job, Metrics, Stage

if TYPE_CHECKING:
    from mllmrec.schema import Config

log = logging.getLogger(__name__)
Share = Annotated[float, Field(gt=0, lt=1)]


class Shares(Model):
    """How much of the interactions lies at or after each of the two cuts of a temporal split."""

    validation: Share
    test: Share


class Prepare(Stage):
    """Publishes the records that every later stage reads (``records.Prepared``).

    ``adopt`` takes candidates from the published scripts' own samples instead of drawing them.
    With ``train_protocol=full`` training prompts list nothing, and any item may answer them but
    those that the user has otherwise.
    """

    name: ClassVar[str] = "prepare"
    version: ClassVar[int] = 3
    uses: ClassVar[tuple[str, ...]] = ("dataset",)

    history_length: PositiveInt
    min_history: PositiveInt
    split: Literal["leave_one_out", "temporal"]
    temporal: Annotated[Shares, NoEffect()]
    protocols: Annotated[list[Drawn], Field(min_length=1)]
    train_protocol: DrawnOrFull
    exclude: Literal["own", "history"]
    weights: Annotated[Path | None, NoEffect()]
    hard: Annotated[Literal["cooccurrence"] | Path, NoEffect()]
    hard_pool: Annotated[PositiveInt, NoEffect()]
    adopt: Annotated[Path | list[Path] | None, NoEffect()]
    min_join: Annotated[float, Field(ge=0, le=1), NoEffect()]

    @model_validator(mode="after")
    def _knobs_agree(self) -> Self:
        if self.min_history > self.history_length:
            raise ValueError("must hold: prepare.min_history <= prepare.history_length")
        if len(set(self.protocols)) < len(self.protocols):
            raise ValueError(f"prepare.protocols: one stands twice in {self.protocols}")
        if self.temporal.validation + self.temporal.test >= 1:
            raise ValueError("must hold: prepare.temporal.validation + prepare.temporal.test < 1")
        for kind, count in map(parsed, self.drawn):
            if kind == "hard" and count > self.hard_pool:
                raise ValueError(f"must hold: prepare.hard_pool >= {count} of hard{count}")
        return self

    @property
    def drawn(self) -> list[str]:
        """All protocols that candidates are drawn by."""
        named = dict.fromkeys([*self.protocols, self.train_protocol])
        return [protocol for protocol in named if protocol != FULL]

    def has(self, kind: str) -> bool:
        """Whether a protocol of this kind is drawn."""
        return any(protocol.startswith(kind) for protocol in self.drawn)

    def check(self, config: "Config") -> None:
        dataset = config.dataset
        if self.adopt and (config.dataset_name != "reference" or dataset.windows != "last"):
            raise Refusal(
                f"prepare.adopt: samples of the published scripts, and dataset="
                f"{config.dataset_name} dataset.windows={dataset.windows}",
                allowed="dataset=reference dataset.windows=last, one sample a line as theirs",
                do="type dataset=reference dataset.path=DIR, or prepare.adopt=null",
            )
        if self.adopt and self.train_protocol == FULL:
            raise Refusal(
                "prepare.adopt: adopted samples list the candidates that they were trained on, and"
                f" prepare.train_protocol={FULL} lists none",
                allowed="the protocol of a train file that is adopted, such as uni9",
                do="type prepare.train_protocol=uni9, or prepare.adopt=null",
            )
        if self.split == "temporal" and not dataset.has_times:
            raise timeless(config.dataset_name)

    def effective(self, config: "Config") -> dict[str, Any]:
        told = super().effective(config)
        if self.split == "temporal":
            told["temporal"] = self.temporal.knobs()
        if self.has("pop") and self.weights:
            told["weights"] = identity("prepare.weights", self.weights)
        if self.has("hard"):
            hard, told["hard_pool"] = self.hard, self.hard_pool
            told["hard"] = identity("prepare.hard", hard) if isinstance(hard, Path) else hard
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
        plan, dropped = planned(dataset, tables, self.cut)
        made = {split: self.sampled(split, dataset, plan) for split in SPLITS}
        if self.adopt:
            made, counts = self.adopted(made, plan, tables.items["item_id"])
            dropped = {**dropped, **counts}
        pool = self.pool(plan)
        for split in SPLITS:
            for protocol in made[split].drawn:
                pool.check(made[split].targets, protocol)
        met = pl.concat([one.met(pool) for one in made.values()])
        items = tables.items.filter(tables.items["item_id"].is_in(met.implode()))
        log_join("items of the pool have a picture", items["picture"].count(), items.height)

        shaped(items, ITEMS).write_parquet(job.out / "items.parquet")
        write_popularity(job.out, plan)
        write_sequences(job.out, plan)
        write_owned(job.out, plan)
        audit, prints = Audit(plan=plan, items=tables.items.height), dict[str, str]()
        for one in made.values():
            prints |= one.write(job.out, pool, audit, seed=job.seed)
        metrics = self.ask_oracle(job.out, tables, made["test"].targets, pool)
        stats: dict[str, Any] = {"counts": counted(plan, made), "dropped": dropped}
        stats |= {"candidates": prints, "audit": audit.finish(items["title"])}
        return metrics | tell(job.out, stats)

    def cut(self, met: Sequences) -> Plan:
        """The plan of users' sequences."""
        if self.split == "leave_one_out":
            return leave_one_out(met)
        return temporal(met, validation=self.temporal.validation, test=self.temporal.test)

    def pool(self, plan: Plan) -> Pool:
        """What negatives are drawn from, and by."""
        hard: Hard | None = None
        if self.has("hard") and isinstance(self.hard, Path):
            reader = partial(Ranked.read, plan=plan, most=self.hard_pool)
            hard = adopt.read(self.hard, reader)
        elif self.has("hard"):
            length = self.history_length
            hard = Cooccurring.of(plan, history_length=length, most=self.hard_pool)
        popularity = plan.popularity
        if self.has("pop") and self.weights:
            popularity = adopt.read(self.weights, partial(stored_weights, item_ids=plan.item_ids))
        return Pool(
            plan=plan,
            exclude=self.exclude,
            history_length=self.history_length,
            popularity=popularity,
            hard=hard,
        )

    def adopted(
        self, made: Mapping[Split, Sampled], plan: Plan, known: pl.Series
    ) -> tuple[dict[Split, Sampled], dict[str, int]]:
        """The samples with the published candidates, and counts of what became of them."""
        roles = self.roles()
        drawn = {*self.protocols} - {
            role.protocol for role in roles.values() if role.split == "test"
        }
        for file, role in roles.items():
            log.info("prepare.adopt: %s candidates of %s from %s", role.split, role.protocol, file)
        log.info("prepare.adopt: candidates of the test drawn here: %s", sorted(drawn) or "none")
        tables, counts = adopted(
            {split: whole(plan, one.targets) for split, one in made.items()},
            plan,
            known,
            roles,
            reader=lambda file, role: adopt.read(file, partial(read, role=role)),
            min_join=self.min_join,
        )
        return {split: one.taken(tables[split]) for split, one in made.items()}, counts

    def columns(self, split: Split) -> dict[str, str]:
        """The columns of candidates in a split's table, and the protocol that fills each."""
        if split == "train":
            return {"train": self.train_protocol}
        return {protocol: protocol for protocol in self.protocols}

    def sampled(self, split: Split, dataset: Dataset, plan: Plan) -> Sampled:
        """One split's samples; refuses none."""
        targets = plan.targets(split, windows=dataset.windows, min_history=self.min_history)
        if not len(targets):
            raise self.none_long_enough(split, plan)
        return Sampled(split=split, targets=targets, columns=self.columns(split))

    def none_long_enough(self, split: Split, plan: Plan) -> Refusal:
        rows = len(plan.items)
        return Refusal(
            f"no user is long enough for a {split} sample: the longest of {rows} has"
            f" {plan.items.length.max()} items",
            allowed=f"a target with at least prepare.min_history={self.min_history} items before"
            " it, and beside it a validation and a test item",
            do="prepare.min_history=1, or data with longer histories",
        )

    def ask_oracle(self, out: Path, tables: Tables, test: Targets, pool: Pool) -> Metrics:
        """Write ``oracle.parquet`` and return the best possible metrics; none where unknown."""
        (out / "oracle.parquet").unlink(missing_ok=True)
        if tables.oracle is None:
            return {}
        samples = pl.read_parquet(out / "test.parquet").with_columns(pool.plan.earlier(test))
        scores = oracle_scores(
            tables.oracle,
            samples,
            items=tables.items["item_id"],
            pool=pool,
            protocols=self.protocols,
        )
        scores.write_parquet(out / "oracle.parquet")
        metrics = oracle_metrics(scores, samples)
        told = ", ".join(
            f"{key.removeprefix('oracle/')} {value:.3f}" for key, value in metrics.items()
        )
        log.info("best possible: %s", told)
        return metrics


def counted(plan: Plan, made: Mapping[Split, Sampled]) -> dict[str, int]:
    """How many users, items, interactions and samples there are."""
    return {
        "users": len(plan.user_ids),
        "items": len(plan.item_ids),
        "interactions": len(plan.items.flat),
        **{f"{split}_samples": len(one.targets) for split, one in made.items()},
    }


def tell(out: Path, stats: Mapping[str, Any]) -> Metrics:
    """Write ``stats.json``, log it in a few lines, judge the audit and return the counts."""
    (out / "stats.json").write_text(json.dumps(stats, indent=2, sort_keys=True) + "\n")
    for what in ("counts", "dropped", "candidates"):
        told = ", ".join(f"{name} {fact}" for name, fact in stats[what].items())
        log.info("%s: %s", what, told)
    log.info("%s", table(stats["audit"]))
    judge(stats["audit"])
    return {name: float(count) for name, count in stats["counts"].items()}


def identity(knob: str, file: Path) -> dict[str, Any]:
    """The content of a file that a knob names; refuses one that is not there."""
    if not file.is_file():
        raise Refusal(
            f"{knob}={file}: no such file", allowed="a Parquet table", do=f"type {knob}=FILE"
        )
    return adopt.files_identity([file])


def timeless(name: str) -> Refusal:
    return Refusal(
        f"prepare.split=temporal: dataset={name} tells the order of a user's items and no times,"
        " so no time can be said to lie before the targets of all users",
        allowed="data with timestamps, or the split that the data come with",
        do="type prepare.split=leave_one_out",
    )
