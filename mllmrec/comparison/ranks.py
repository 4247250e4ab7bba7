"""The rankings of all runs, each distinct one read once, and which are of the same samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from mllmrec.artifacts import Artifact
from mllmrec.comparison.run import Run
from mllmrec.policy.ranked import read
from mllmrec.records import Prepared

Key = tuple[str, str]  # a policy and a protocol
TARGET = "target"


@dataclass(eq=False, kw_only=True)
class Samples:
    """Samples that were ranked under one protocol; equal ones are one object.

    ``asked`` are the columns of ``policy.ranked.Ranked`` that tell one sample from another, as far
    as the rankings that were read tell them.
    """

    protocol: str
    asked: dict[str, pl.Series]
    candidates: int
    prepared: Artifact | None

    @property
    def ids(self) -> list[str]:
        return self.asked["sample_id"].to_list()

    def are(self, asked: pl.DataFrame) -> bool:
        """Whether these are they; if so, what the others tell besides is known of them too.

        Of samples whose target is not known nothing can be said.
        """
        if TARGET not in self.asked or TARGET not in asked.columns:
            return False
        same = all(self.asked[c.name].equals(c) for c in asked if c.name in self.asked)
        if same:
            self.asked |= {column.name: column for column in asked}
        return same


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranks:
    """One policy's rankings under one protocol: the rank of each sample's target."""

    artifact: Artifact
    samples: Samples
    ranks: Any
    number: int  # of the distinct rankings, as they were met


@dataclass(eq=False, kw_only=True)
class Board:
    """What every run ranked: for a policy and a protocol, a ranking a run (None: it has none)."""

    runs: Sequence[Run]
    by: dict[Key, list[Ranks | None]] = field(default_factory=dict)
    met: dict[tuple[str, str], Ranks] = field(default_factory=dict)  # by id and protocol
    known: dict[Any, Samples] = field(default_factory=dict)  # by what an identity says of them
    groups: list[Samples] = field(default_factory=list)

    @classmethod
    def of(cls, runs: Sequence[Run], policies: Sequence[str]) -> "Board":
        """The rankings by these policies that are there, under all protocols of all runs."""
        board = cls(runs=runs)
        for protocol in dict.fromkeys(name for run in runs for name in run.protocols):
            for policy in policies:
                row = [board.read(run, policy, protocol) for run in runs]
                if any(row):
                    board.by[policy, protocol] = row
        return board

    def read(self, run: Run, policy: str, protocol: str) -> Ranks | None:
        if protocol not in run.protocols or not (artifact := run.ranking(policy)):
            return None
        if (artifact.id, protocol) not in self.met:
            file = artifact.folder / f"{protocol}.parquet"
            if not artifact.is_readable or not file.is_file():
                return None
            samples, ranks = self.content(artifact, protocol, run)
            number = len(self.met)
            self.met[artifact.id, protocol] = Ranks(
                artifact=artifact, samples=samples, ranks=ranks, number=number
            )
        return self.met[artifact.id, protocol]

    def content(self, artifact: Artifact, protocol: str, run: Run) -> tuple[Samples, Any]:
        """Its samples and ranks. Identities that agree on what was asked save reading it all."""
        file = artifact.folder / f"{protocol}.parquet"
        key = question(artifact, protocol)
        if key in self.known:
            return self.known[key], pl.read_parquet(file, columns=["rank"])["rank"].to_numpy()
        found, prepared = read(file), run.artifact("prepare")
        asked = completed(found.asked, protocol, prepared)
        for group in self.groups:
            if group.protocol == protocol and group.are(asked):
                self.known[key] = group
                return group, found.ranks
        made = Samples(
            protocol=protocol,
            asked={column.name: column for column in asked},
            candidates=found.candidates,
            prepared=prepared,
        )
        self.groups.append(made)
        self.known[key] = made
        return made, found.ranks

    @property
    def protocols(self) -> list[str]:
        return list(dict.fromkeys(protocol for _, protocol in self.by))

    def candidates(self, protocol: str) -> int:
        """The fewest that any run had under a protocol: what K must be below."""
        return min(g.candidates for g in self.groups if g.protocol == protocol)

    def distinct(self, samples: Samples) -> list[Ranks]:
        """All different rankings of these samples."""
        return [ranks for ranks in self.met.values() if ranks.samples is samples]


def completed(asked: pl.DataFrame, protocol: str, prepared: Artifact | None) -> pl.DataFrame:
    """What was asked; of lists that a model wrote, target and candidates as they were prepared."""
    if TARGET in asked.columns or prepared is None:
        return asked
    there = Prepared(prepared.folder).scan("test")
    columns = [pl.col("sample_id"), pl.col(TARGET)]
    if protocol in there.collect_schema().names():
        columns.append(pl.col(protocol).list.sort().alias("candidates"))
    rows = there.select(columns).collect()
    return asked.join(rows, on="sample_id", how="left", maintain_order="left")


def question(artifact: Artifact, protocol: str) -> Any:
    """What of a ranking's identity settles which samples were asked, and in which form."""
    identity = artifact.manifest["identity"]
    knobs, inputs = identity["knobs"], identity["inputs"]
    return (
        protocol,
        inputs["prepare"],
        identity["seed"],
        knobs["samples"].get(protocol),
        "generate" in knobs,
    )
