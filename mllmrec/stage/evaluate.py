"""Stage ``evaluate``: every policy under every protocol, with intervals and comparisons."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mllmrec import ranking
from mllmrec.artifacts import REPORT, write_json
from mllmrec.dataset.candidates import FULL, DrawnOrFull
from mllmrec.dataset.full import found_rate, size_of
from mllmrec.errors import Refusal
from mllmrec.policy.bars import flattery, held_to_the_bar, too_few, without_a_list
from mllmrec.policy.full import Way
from mllmrec.policy.measures import flat, measure
from mllmrec.policy.positions import by_position, dependence, over_orders, rows_of
from mllmrec.policy.ranked import Ranked, check_same_samples, first_of, read_ranks
from mllmrec.report.tables import print_results
from mllmrec.serving.lineage import lineage, trained_on
from mllmrec.stage.base import Job, Metrics, Stage, check_drawn
from mllmrec.stage.rank import MODELS, POLICIES, WRITERS, Generate, Rank, check_policies, is_there

if TYPE_CHECKING:
    from mllmrec.schema import Config

log = logging.getLogger(__name__)

RESULTS = "results.json"


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

    The protocol ``full`` is the whole catalogue, which prompts do not list; ``full`` says how a
    language model ranks it. Under the others the hits of each policy are told by where its target
    stood in the list, and with ``permutations`` those that read the list are shown
    ``permuted_samples`` of the samples in so many other orders.
    """

    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 3

    protocols: Annotated[list[DrawnOrFull], Field(min_length=1)]
    k: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    policies: Annotated[list[str], Field(min_length=1)]
    compare: list[tuple[str, str]]
    compare_k: Annotated[int, Field(ge=1)]
    samples: dict[DrawnOrFull, Annotated[int, Field(ge=1)] | None]
    tokens_per_batch: Annotated[int, Field(ge=1)]
    mode: Literal["rank", "generate"]
    hint: bool
    generate: Generate
    full: Way
    permutations: Annotated[int, Field(ge=0)]
    permuted_samples: Annotated[int, Field(ge=1)]

    def check(self, config: "Config") -> None:
        check_policies([*self.policies, *(one for pair in self.compare for one in pair)], config)
        check_drawn("evaluate.protocols", self.drawn, config)
        self.admissible({name: size_of(name) for name in self.protocols})
        self.check_hint(config)
        self.check_full()
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

    def check_full(self) -> None:
        """Refuse of the whole catalogue what wants a list of candidates."""
        if FULL in self.protocols and self.writers:
            raise Refusal(
                f"evaluate.protocols={self.protocols}, evaluate.mode=generate: under {FULL} there"
                " are no candidates to make a list of",
                allowed=f"{FULL} with evaluate.mode=rank",
                do="type evaluate.mode=rank, or evaluate.protocols=[uni9]",
            )
        if FULL in self.protocols and {*self.policies} == {"oracle"}:
            raise Refusal(
                f"evaluate.policies={self.policies}: it knows drawn candidates alone, no {FULL}",
                allowed=f"a policy beside it, or no {FULL}",
                do="type evaluate.policies=[popularity,oracle], or evaluate.protocols=[uni9]",
            )
        if self.permutations and not self.drawn:
            raise Refusal(
                f"evaluate.permutations={self.permutations}: {FULL} lists no candidates",
                allowed="a protocol with drawn candidates beside it",
                do="type evaluate.permutations=0, or evaluate.protocols=[uni9,full]",
            )

    @property
    def drawn(self) -> list[str]:
        """The protocols that have lists of candidates."""
        return [name for name in self.protocols if name != FULL]

    def known_to(self, policy: str) -> list[str]:
        """The protocols that a policy ranks; the oracle has scores of drawn candidates alone."""
        return self.drawn if policy == "oracle" else self.protocols

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
        knobs["full"] = self.full.knobs()
        if FULL not in self.protocols:
            del knobs["full"]
        if not self.permutations:
            del knobs["permutations"], knobs["permuted_samples"]
        return {**super().effective(config), "knobs": knobs}

    def inputs(self, config: "Config") -> dict[str, Stage]:
        named: dict[str, Stage] = {
            policy: self.rank(policy)
            for policy in self.policies
            if self.known_to(policy) and is_there(policy, config)
        }
        return named | {
            name: self.rank(policy, n)
            for policy in named
            for n, name in enumerate(self.orders(policy), start=1)
        }

    def orders(self, policy: str) -> list[str]:
        """The names of a policy's rankings in other orders: none of one that reads no list."""
        count = self.permutations if policy in WRITERS else 0
        return [f"{policy} order {n}" for n in range(1, count + 1)]

    def rank(self, policy: str, permutation: int = 0) -> Rank:
        """One policy's rankings, perhaps of fewer samples in another order."""
        protocols = self.drawn if permutation else self.known_to(policy)
        samples = {p: n for p, n in self.samples.items() if p in protocols}
        if permutation:
            most = self.permuted_samples
            samples = {p: min(most, samples.get(p) or most) for p in protocols}
        return Rank(
            policy=policy,
            protocols=tuple(protocols),
            samples=samples,
            tokens_per_batch=self.tokens_per_batch,
            generate=self.generate if policy in self.writers else None,
            full=self.full if FULL in protocols else None,
            hint=self.hint and policy in WRITERS,
            permutation=permutation,
        )

    def run(self, job: Job) -> Metrics:
        results: dict[str, Any] = {"protocols": {}, "differences": [], "warnings": []}
        results["notes"] = flattery(self.protocols, self.policies)
        trained = trained_on(lineage(job.inputs.values()))
        results["notes"] += without_a_list(self.protocols, self.policies, trained)
        if idle := [f"{a} and {b}" for a, b in self.compare if not {a, b} <= job.inputs.keys()]:
            log.info("not compared, as not both are ranked: %s", ", ".join(idle))
        found = {protocol: self.read(job, protocol) for protocol in self.protocols}
        ks = self.admissible({name: first_of(by).candidates for name, by in found.items()})
        for protocol, kept in ks.items():
            by = found[protocol]
            check_same_samples({policy: {protocol: one} for policy, one in by.items()}, protocol)
            results["protocols"][protocol] = self.measured(job, protocol, by, kept)
            if few := too_few(protocol, len(first_of(by).samples)):
                results["warnings"].append(few)
            elif kept:
                k = max((k for k in kept if k <= self.compare_k), default=min(kept))
                results["differences"] += self.differences(by, protocol, k, job.seed)
                warnings, notes = held_to_the_bar(by, protocol, k, job.seed)
                results["warnings"] += warnings
                results["notes"] += notes
        for line in results["warnings"]:
            log.warning("%s", line)
        results["left_out"] = {p: sorted(set(self.k) - set(kept)) for p, kept in ks.items()}
        results["asked"] = self.generate.items if self.writers else None
        results["hint"] = self.hint
        write_json(job.out / RESULTS, results)
        write_json(job.out / REPORT, rows_of(results["protocols"]))
        return flat(results)

    def read(self, job: Job, protocol: str) -> dict[str, Ranked]:
        """The rankings under one protocol, by policy."""
        there = [policy for policy in self.policies if policy in job.inputs]
        if protocol == FULL and "oracle" in there:
            log.info("%s: the oracle knows drawn candidates alone, and has no row here", FULL)
        return {
            policy: read_ranks(job.inputs[policy], [protocol])[protocol]
            for policy in there
            if protocol in self.known_to(policy)
        }

    def measured(
        self, job: Job, protocol: str, by: Mapping[str, Ranked], kept: tuple[int, ...]
    ) -> dict[str, Any]:
        """What is told of one protocol."""
        first, seed = first_of(by), job.seed
        told: dict[str, Any] = {
            "candidates": first.candidates,
            "samples": len(first.samples),
            "policies": {policy: measure(one.ranks, kept, seed) for policy, one in by.items()},
            "lists": {policy: one.rates for policy, one in by.items() if one.rates},
            "positions": {
                policy: by_position(one.position, one.ranks, one.candidates, seed)
                for policy, one in by.items()
                if one.position is not None
            },
            "permutations": {},
        }
        places = {p: found for p, found in told["positions"].items() if p in WRITERS}
        lines = (dependence(policy, protocol, found) for policy, found in places.items())
        told["dependence"] = [line for line in lines if line]
        if protocol == FULL:
            if self.full.method == "beam":
                asked = [policy for policy in by if policy in MODELS]
                told["lists"] = {policy: found_rate(by[policy].ranks) for policy in asked}
            return told
        for policy in by:
            inputs = [job.inputs[name] for name in self.orders(policy)]
            if inputs:
                others = [read_ranks(folder, [protocol])[protocol] for folder in inputs]
                told["permutations"][policy] = over_orders(by[policy], others, kept)
        return told

    def differences(
        self, by: Mapping[str, Ranked], protocol: str, k: int, seed: int
    ) -> list[dict[str, Any]]:
        found = []
        for first, second in self.compare:
            if first in by and second in by:
                a, b = (ranking.ndcg(by[name].ranks, k) for name in (first, second))
                found.append(
                    {"protocol": protocol, "first": first, "second": second, "metric": f"ndcg@{k}"}
                    | told(ranking.difference(a, b, seed=seed))
                )
        return found

    def show(self, folder: Path) -> None:
        print_results(json.loads((folder / RESULTS).read_text()))


def told(difference: ranking.Difference) -> dict[str, Any]:
    return {
        "mean": difference.diff,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        "verdict": ranking.verdict(difference),
    }
