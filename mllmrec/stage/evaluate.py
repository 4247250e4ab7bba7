"""Stage ``evaluate``: every policy under every protocol, with intervals and comparisons."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from mllmrec import ranking
from mllmrec.artifacts import write_json
from mllmrec.dataset.candidates import PROTOCOL
from mllmrec.errors import Refusal
from mllmrec.policy.listing import rates
from mllmrec.report.tables import print_results
from mllmrec.stage.base import Job, Metrics, Stage, check_drawn
from mllmrec.stage.rank import POLICIES, WRITERS, Generate, Rank

if TYPE_CHECKING:
    from mllmrec.schema import Config

log = logging.getLogger(__name__)

RESULTS = "results.json"
Protocol = Annotated[str, Field(pattern=PROTOCOL)]


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The samples that were ranked, the rank of each one's target, the number of candidates.

    ``asked`` has a row a sample: its id, how many candidates it has, these by name (sorted) and
    the target. The last two are not there, and ``rates`` are those of ``policy.listing``, where
    the rankings are lists that a model wrote: they may name fewer, or others.
    """

    asked: pl.DataFrame
    ranks: Any
    candidates: int
    rates: dict[str, float] | None = None

    @property
    def samples(self) -> list[str]:
        return self.asked["sample_id"].to_list()


class Evaluate(Stage):
    """HR@K, NDCG@K and MRR on the test samples, and paired differences between policies.

    ``policies`` are rows of the table, ``compare`` pairs of them: each first one is said to be
    above, below or not distinguishable from its second, by paired bootstrap on NDCG at the largest
    admissible K up to ``compare_k``, or the smallest one above it.
    ``samples`` bounds the test samples ranked under a protocol, the same ones for every policy;
    null ranks all. With ``mode=generate`` the models that can be asked in a chat write a list of
    ``generate.items`` items instead of ranking the candidates by likelihood: a target that is not
    in it is missed, and what is wrong with the lists is told too. ``hint`` gives the models that
    rank in a chat a rationale with each prompt, to measure what it is worth; its writer never
    sees a target, and no confidence chooses among them.
    """

    name: ClassVar[str] = "evaluate"

    protocols: Annotated[list[Protocol], Field(min_length=1)]
    k: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    policies: Annotated[list[str], Field(min_length=1)]
    compare: list[tuple[str, str]]
    compare_k: Annotated[int, Field(ge=1)]
    samples: dict[Protocol, Annotated[int, Field(ge=1)] | None]
    tokens_per_batch: Annotated[int, Field(ge=1)]
    mode: Literal["rank", "generate"]
    hint: bool
    generate: Generate

    @model_validator(mode="after")
    def check_policies(self) -> Self:
        named = {*self.policies, *(name for pair in self.compare for name in pair)}
        if unknown := sorted(named - set(POLICIES)):
            raise ValueError(f"unknown policies {unknown}, known: {', '.join(POLICIES)}")
        return self

    def check(self, config: "Config") -> None:
        check_drawn("evaluate.protocols", self.protocols, config)
        self.admissible({name: int(name[3:]) + 1 for name in self.protocols})
        self.check_hint(config)
        if not self.inputs(config):
            raise Refusal(
                f"evaluate.policies={self.policies}: this dataset does not know its own process",
                allowed=", ".join(name for name in POLICIES if name != "oracle"),
                do="type evaluate.policies=[popularity] or more of these",
            )

    def check_hint(self, config: "Config") -> None:
        """Refuse hints at test time that tell the target, or that nobody can write."""
        if not self.hint:
            return
        faults = {
            "reasoner.reveal_target=true would tell it the target of the test": (
                config.reasoner.reveal_target
            ),
            f"prompt.inject={config.prompt.inject} has taught no model to read one": (
                config.prompt.inject != "prompt"
            ),
            "evaluate.mode=generate asks for lists without one": self.mode == "generate",
        }
        if fault := next((told for told, is_so in faults.items() if is_so), None):
            raise Refusal(
                f"evaluate.hint=true: {fault}",
                allowed="rationales that reasoner= writes from test histories, in mode=rank",
                do="type evaluate.hint=false",
            )

    @property
    def writers(self) -> set[str]:
        """The policies that write lists."""
        return {*self.policies} & {*WRITERS} if self.mode == "generate" else set()

    def admissible(self, candidates: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """The K of each protocol; one beyond the items that are asked for is none."""
        most = self.generate.items if self.writers else max(self.k)
        if most < min(self.k):
            raise Refusal(
                f"no K of {self.k} is within the {most} items that are asked for",
                allowed=f"K up to evaluate.generate.items={most}",
                do=f"type evaluate.generate.items={max(self.k)}, or evaluate.k=[{most}]",
            )
        return ranking.admissible([k for k in self.k if k <= most], candidates)

    def effective(self, config: "Config") -> dict[str, Any]:
        """What lists are asked for is told by the rankings; here it bounds K alone."""
        knobs = self.knobs()
        if not self.writers:
            del knobs["mode"], knobs["generate"]
        if not self.hint:
            del knobs["hint"]
        return {**super().effective(config), "knobs": knobs}

    def inputs(self, config: "Config") -> dict[str, Stage]:
        return {
            policy: Rank(
                policy=policy,
                protocols=tuple(self.protocols),
                samples={p: n for p, n in self.samples.items() if p in self.protocols},
                tokens_per_batch=self.tokens_per_batch,
                generate=self.generate if policy in self.writers else None,
                hint=self.hint and policy in WRITERS,
            )
            for policy in self.policies
            if policy != "oracle" or config.dataset.has_oracle
        }

    def run(self, job: Job) -> Metrics:
        ranks = {
            policy: read_ranks(job.inputs[policy], self.protocols)
            for policy in self.policies
            if policy in job.inputs
        }
        first = next(iter(ranks.values()))
        ks = self.admissible({name: one.candidates for name, one in first.items()})
        results: dict[str, Any] = {"protocols": {}, "differences": []}
        for protocol, kept in ks.items():
            check_same_samples(ranks, protocol)
            results["protocols"][protocol] = {
                "candidates": first[protocol].candidates,
                "samples": len(first[protocol].samples),
                "policies": {
                    policy: measure(by[protocol].ranks, kept, job.seed)
                    for policy, by in ranks.items()
                },
                "lists": {
                    policy: by[protocol].rates for policy, by in ranks.items() if by[protocol].rates
                },
            }
            results["differences"] += self.differences(ranks, protocol, kept, job.seed)
        results["left_out"] = {p: sorted(set(self.k) - set(kept)) for p, kept in ks.items()}
        results["asked"] = self.generate.items if self.writers else None
        results["hint"] = self.hint
        write_json(job.out / RESULTS, results)
        return flat(results)

    def differences(
        self, ranks: Mapping[str, Any], protocol: str, kept: tuple[int, ...], seed: int
    ) -> list[dict[str, Any]]:
        if not kept:
            return []
        k = max((k for k in kept if k <= self.compare_k), default=min(kept))
        found = []
        for first, second in self.compare:
            if first not in ranks or second not in ranks:
                log.info("%s: %s and %s are not both ranked, not compared", protocol, first, second)
            else:
                a, b = (ranking.ndcg(ranks[name][protocol].ranks, k) for name in (first, second))
                found.append(
                    {"protocol": protocol, "first": first, "second": second, "metric": f"ndcg@{k}"}
                    | told(ranking.difference(a, b, seed=seed))
                )
        return found

    def show(self, folder: Path) -> None:
        print_results(json.loads((folder / RESULTS).read_text()))


def read_ranks(folder: Path, protocols: list[str]) -> dict[str, Ranked]:
    """One policy's rankings, by protocol."""
    found = {}
    for protocol in protocols:
        table = pl.read_parquet(folder / f"{protocol}.parquet")
        is_list = "candidates" in table.columns
        ranked, place = pl.col("ranked"), pl.col("rank").cast(pl.Int64) - 1
        size = pl.col("candidates") if is_list else ranked.list.len()
        whole = {"candidates": ranked.list.sort(), "target": ranked.list.get(place)}
        asked = table.select(
            "sample_id",
            **{"number of candidates": size.cast(pl.Int64)},
            **({} if is_list else whole),
        )
        found[protocol] = Ranked(
            asked=asked,
            ranks=table["rank"].to_numpy(),
            candidates=int(np.max(asked["number of candidates"].to_numpy())),
            rates=rates(table) if is_list else None,
        )
    return found


def check_same_samples(ranks: Mapping[str, Mapping[str, Ranked]], protocol: str) -> None:
    """Refuse to compare policies that did not rank the same samples in one order.

    A sample is the same if its candidates and its target are, as far as the rankings tell them.
    """
    known: dict[str, tuple[str, pl.Series]] = {}  # of what is asked: by whom first, and what
    for name, by in ranks.items():
        for column in by[protocol].asked:
            first, told = known.setdefault(column.name, (name, column))
            if not column.equals(told):
                other = "" if column.name == "sample_id" else f" (another {column.name})"
                raise Refusal(
                    f"{protocol}: {name} and {first} were not ranked on the same samples{other}",
                    allowed="rankings of one set of test samples, with the same candidates",
                    do="type force=[rank] to rank again, or compare launches of the same dataset=, "
                    "prepare.* and seed=",
                )


def told(difference: ranking.Difference) -> dict[str, Any]:
    return {
        "mean": difference.diff,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        "verdict": ranking.verdict(difference),
    }


def measure(ranks: Any, ks: tuple[int, ...], seed: int) -> dict[str, dict[str, float]]:
    """Each metric's mean and the bounds of its 95 % interval."""
    found = ranking.intervals(ranking.metrics(ranks, ks), seed=seed)
    return {name: {"mean": i.mean, "low": i.low, "high": i.high} for name, i in found.items()}


def flat(results: Mapping[str, Any]) -> Metrics:
    """Means and rates by policy/protocol/name, for the manifest and tracking."""
    found: Metrics = {}
    for protocol, table in results["protocols"].items():
        for policy, metrics in table["policies"].items():
            told = {metric: value["mean"] for metric, value in metrics.items()}
            told |= table["lists"].get(policy, {})
            found |= {f"{policy}/{protocol}/{name}": value for name, value in told.items()}
    return found
