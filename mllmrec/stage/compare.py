"""Goal ``compare``: the same policies of several runs in one table, and how they differ."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mllmrec import ranking
from mllmrec.artifacts import Artifact, Store
from mllmrec.errors import Refusal
from mllmrec.policy.measures import measure
from mllmrec.policy.ranked import Ranked, check_same_samples, read_ranks
from mllmrec.report.tables import print_results
from mllmrec.stage.command import Asked, Command
from mllmrec.stage.evaluate import told

ASKED = {
    "evaluate.hint": False,
    "evaluate.mode": "rank",
    "evaluate.full": None,
}  # and what an identity leaves out
LINEAGE = "lineage.json"
Ranks = dict[str, dict[str, Ranked]]  # by run and policy, then by protocol
METRICS = {"hr": ranking.hit_rate, "ndcg": ranking.ndcg}


class Compare(Command):
    """Reads what launches of ``stage=evaluate`` ranked, sample by sample; builds nothing.

    ``runs`` are the folders of launches by the name they go by; the first is what the others are
    held against, by paired bootstrap on ``metrics`` over the same test samples.
    """

    runs: dict[str, Path]
    policies: Annotated[list[str], Field(min_length=1)]
    k: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    metrics: list[Annotated[str, Field(pattern=r"^(hr|ndcg)@[1-9]\d*$")]]
    seed: int

    def execute(self, asked: Asked) -> None:
        store = asked.store
        if len(self.runs) < 2:
            raise Refusal(
                f"compare.runs={ {name: str(path) for name, path in self.runs.items()} }: "
                "nothing to compare",
                allowed="two or more folders of launches that evaluated, by a name each",
                do="type '+compare.runs={a: outputs/…, b: outputs/…}'",
            )
        ranks = self.read(store)
        protocols = [*next(iter(ranks.values()))]
        for protocol in protocols:
            check_same_samples(ranks, protocol)
        print_results({**self.results(ranks, protocols), "notes": self.notes(ranks, store)})

    def notes(self, ranks: Ranks, store: Store) -> list[str]:
        """Where models of two runs were not asked the same, and which run lacks a policy."""
        found = {name: evaluated(name, folder, store) for name, folder in self.runs.items()}
        base, *others = found
        told = [
            f"{name} and {base} differ in {knob}: {found[name].asked(knob)} and "
            f"{found[base].asked(knob)}, so their models were not asked the same"
            for name in others
            for knob in ASKED
            if found[name].asked(knob) != found[base].asked(knob)
            and None not in (found[name].asked(knob), found[base].asked(knob))  # both were asked
        ]
        lacking = {
            policy: [name for name in found if f"{name}: {policy}" not in ranks]
            for policy in self.policies
        }
        return told + [f"{policy}: not in {', '.join(n)}" for policy, n in lacking.items() if n]

    def read(self, store: Store) -> Ranks:
        """The rankings of every policy that a run has, under the protocols that all runs have."""
        found = {name: evaluated(name, folder, store) for name, folder in self.runs.items()}
        check_same_dataset(found)
        shared = set.intersection(*({*one.manifest_protocols} for one in found.values()))
        first = next(iter(found.values()))
        protocols = [name for name in first.manifest_protocols if name in shared]
        if not protocols:
            raise Refusal(
                "compare.runs: the runs share no protocol",
                allowed="runs that evaluated under the same protocols",
                do="repeat one of them with the other's evaluate.protocols",
            )
        return {
            f"{name}: {policy}": read_ranks(one.folder_of(policy), protocols)
            for policy in self.policies
            for name, one in found.items()
            if policy in one.policies
        }

    def results(self, ranks: Ranks, protocols: list[str]) -> dict[str, Any]:
        """In the form that ``stage=evaluate`` prints."""
        found: dict[str, Any] = {"protocols": {}, "differences": [], "left_out": {}}
        for protocol in protocols:
            some = next(iter(ranks.values()))[protocol]
            kept = tuple(k for k in self.k if k < some.candidates)
            found["left_out"][protocol] = [k for k in self.k if k not in kept]
            found["protocols"][protocol] = {
                "candidates": some.candidates,
                "samples": len(some.samples),
                "policies": {
                    name: measure(by[protocol].ranks, kept, self.seed) for name, by in ranks.items()
                },
            }
            found["differences"] += self.differences(ranks, protocol, kept)
        return found

    def differences(
        self, ranks: Ranks, protocol: str, kept: tuple[int, ...]
    ) -> list[dict[str, Any]]:
        base, *others = self.runs
        found = []
        for policy in self.policies:
            for run in others:
                first, second = f"{run}: {policy}", f"{base}: {policy}"
                if first in ranks and second in ranks:
                    sides = ranks[first][protocol].ranks, ranks[second][protocol].ranks
                    found += [
                        {"protocol": protocol, "first": first, "second": second, "metric": metric}
                        | told(paired(metric, *sides, self.seed))
                        for metric in self.metrics
                        if int(metric.partition("@")[2]) in kept
                    ]
        return found


def paired(metric: str, ours: Any, theirs: Any, seed: int) -> ranking.Difference:
    name, _, k = metric.partition("@")
    first, second = (METRICS[name](ranks, int(k)) for ranks in (ours, theirs))
    return ranking.difference(first, second, seed=seed)


class Evaluated:
    """What a launch evaluated: an artifact, and the rankings that it stands on."""

    def __init__(self, artifact: Artifact, store: Store) -> None:
        self.store, identity = store, artifact.manifest["identity"]
        self.dataset = artifact.folder.parents[1].name
        self.policies: dict[str, str] = identity["inputs"]
        self.knobs: dict[str, Any] = identity["knobs"]
        self.manifest_protocols: list[str] = self.knobs["protocols"]

    def asked(self, knob: str) -> Any:
        """How its models were asked; what an identity does not name is as it is by default."""
        return self.knobs.get(knob.partition(".")[2], ASKED[knob])

    def folder_of(self, policy: str) -> Path:
        return self.store.folder(self.dataset, "rank", self.policies[policy])


def check_same_dataset(found: Mapping[str, Evaluated]) -> None:
    """Refuse runs of several datasets: ids may be the same in both and mean something else."""
    (first, one), *others = found.items()
    for name, other in others:
        if other.dataset != one.dataset:
            raise Refusal(
                f"compare.runs: {name} evaluated on dataset={other.dataset}, {first} on"
                f" dataset={one.dataset}",
                allowed="runs on one dataset",
                do=f"type compare.runs.{name}=DIR, a launch on dataset={one.dataset}",
            )


def evaluated(name: str, folder: Path, store: Store) -> Evaluated:
    """The evaluation that a launch ended in.

    Raises:
        Refusal: the folder is no launch's, or that launch evaluated nothing, or it is gone.
    """
    do = f"type compare.runs.{name}=DIR, the folder that a launch of stage=evaluate named"
    try:
        told = json.loads((folder / LINEAGE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refusal(
            f"compare.runs.{name}={folder}: no launch's folder ({LINEAGE} cannot be read)",
            allowed="outputs/DATE/TIME-…, or what hydra.run.dir was",
            do=do,
        ) from error
    edges = {**told["inputs"], **told["outputs"]}
    paths = [Path(edge["path"]) for edge in edges.values() if edge["as"] == "evaluate"]
    found = store.find(*paths[0].parts[-3:]) if paths else None
    if found is None:
        raise Refusal(
            f"compare.runs.{name}={folder}: "
            + ("its evaluation is no longer there" if paths else "that launch evaluated nothing"),
            allowed=f"launches of stage=evaluate whose artifacts are in {store.root}",
            do=do,
        )
    return Evaluated(found, store)
