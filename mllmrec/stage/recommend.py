"""Stage ``recommend``: ranked lists for a history, a user, or a file of many."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import BeforeValidator, Field

from mllmrec.cases import cases_of
from mllmrec.errors import Refusal
from mllmrec.policy.baselines import BASELINES
from mllmrec.policy.full import Way
from mllmrec.reasoner.base import Reasoner
from mllmrec.records import Prepared
from mllmrec.schema import NoEffect
from mllmrec.serving import told
from mllmrec.serving.delivery import check_free, deliver
from mllmrec.serving.lists import ranked, samples_of
from mllmrec.serving.names import Match
from mllmrec.serving.requests import TABLE
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.hints import written
from mllmrec.stage.pseudo_cot import write
from mllmrec.stage.rank import MODELS, POLICIES, WRITERS, Rank, is_there
from mllmrec.stage.requests import Requests

if TYPE_CHECKING:
    from mllmrec.schema import Config


def typed(name: Any) -> Any:
    """An id that looks like a number comes from the command line as one."""
    return str(name) if type(name) is int else name


Name = Annotated[str, BeforeValidator(typed), Field(min_length=1)]


class Recommend(Stage):
    """The first ``top`` items by ``policy``; what is in a history is never one of them.

    Exactly one of ``history``, ``user`` and ``file`` says for whom; ``match`` how the names of
    items are read. The last ``history_length`` items are read. Ranked is the catalogue, by a
    language model as ``full`` says, or a list of ``candidates``, which it is then shown.
    ``rationale=shown`` has one written beside each list, ``hint`` also hands it to the model.
    ``out`` is a copy, as CSV, JSON lines or Parquet.
    """

    name: ClassVar[str] = "recommend"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words", "reasoner", "refiner")

    history: list[Name]
    user: Name | None
    file: Path | None
    policy: str
    top: Annotated[int, Field(ge=1)]
    candidates: list[Name]
    match: Match
    rationale: Literal["none", "shown", "hint"]
    max_failed: Annotated[float, Field(ge=0, le=1), NoEffect()]
    history_length: Annotated[int, Field(ge=1)]
    full: Way
    tokens_per_batch: Annotated[int, Field(ge=1)]
    separator: Annotated[str, Field(min_length=1)]
    max_bad_rows: Annotated[int, Field(ge=0)]
    out: Annotated[Path | None, NoEffect()]
    overwrite: Annotated[bool, NoEffect()]

    @property
    def needs_torch(self) -> bool:  # type: ignore[override]
        """Not to count: who asks for one list waits for no library."""
        return self.policy not in BASELINES

    @property
    def source(self) -> Path | None:
        return self.file.expanduser() if self.file else None

    def check(self, config: "Config") -> None:
        self.check_asked()
        self.check_policy(config)
        if self.out and self.out.suffix not in told.FORMS:
            raise Refusal(
                f"recommend.out={self.out}: no kind of file that is written here",
                allowed=", ".join(told.FORMS),
                do=f"type recommend.out={self.out.stem}.csv",
            )
        if self.rationale == "hint" and (
            self.policy not in WRITERS or config.prompt.inject != "prompt"
        ):
            raise Refusal(
                f"recommend.rationale=hint: recommend.policy={self.policy} with prompt.inject="
                f"{config.prompt.inject} reads none",
                allowed=f"{', '.join(WRITERS)}, with prompt.inject=prompt",
                do="type recommend.rationale=shown",
            )

    def check_asked(self) -> None:
        """Refuse to be asked for two at once, or for a file that is not there."""
        if len(self.given) > 1:
            raise self.for_whom(" and ".join(f"recommend.{name}" for name in self.given))
        if self.source and (not self.source.is_file() or not self.source.stat().st_size):
            raise Refusal(
                f"recommend.file={self.file}: no such file, or nothing in it",
                allowed="a .csv, .tsv, .jsonl or .parquet with a column history or user",
                do="type recommend.file=FILE",
            )

    @property
    def given(self) -> list[str]:
        """The knobs by which it is said for whom."""
        return [name for name in ("history", "user", "file") if getattr(self, name)]

    def for_whom(self, both: str) -> Refusal:
        return Refusal(
            f"stage=recommend: {both} are given" if both else "stage=recommend: for whom?",
            allowed="one of recommend.history, recommend.user, recommend.file",
            do='type \'recommend.history=["A title","Another title"]\', recommend.user=ID or'
            " recommend.file=FILE",
        )

    def check_policy(self, config: "Config") -> None:
        """Refuse a policy that nobody knows, or that knows no histories."""
        there = [name for name in POLICIES if name != "oracle" and is_there(name, config)]
        if self.policy not in (able := [*there, *config.recommender]):
            raise Refusal(
                f"recommend.policy={self.policy}: no policy that recommends here",
                allowed=", ".join(able),
                do="type recommend.policy=NAME with one of these",
            )

    def check_typed(self, names: frozenset[str]) -> None:
        only = {"separator": "recommend.file=FILE.csv", "max_bad_rows": "recommend.file=FILE"}
        kinds = {"separator": (".csv", ".tsv"), "max_bad_rows": None}
        for name in sorted(names & only.keys()):
            kind = kinds[name]
            if not self.file or (kind and self.file.suffix.lower() not in kind):
                raise Refusal(
                    f"recommend.{name}: has no effect without {only[name]}",
                    allowed=f"recommend.{name} together with {only[name]}",
                    do=f"leave recommend.{name} out",
                )

    def ready(self, config: "Config") -> None:
        if self.rationale != "none":
            config.reasoner.ready()
            config.refiner.ready()
        if self.out:
            check_free("recommend.out", self.out.expanduser(), told.LISTS, overwrite=self.overwrite)

    @property
    def rank(self) -> Rank:
        """The same policy as evaluation has it: what it stands on, and how it scores."""
        return Rank(
            policy=self.policy,
            protocols=(),
            samples={},
            tokens_per_batch=self.tokens_per_batch,
            generate=None,
            full=self.full,
            hint=False,
            permutation=0,
        )

    def inputs(self, config: "Config") -> dict[str, Stage]:
        if not self.given:
            raise self.for_whom("")
        asked = Requests(
            history=tuple(self.history),
            user=self.user,
            file=self.source,
            candidates=tuple(self.candidates),
            match=self.match,
            separator=self.separator,
            max_bad_rows=self.max_bad_rows,
        )
        # first, so that a name that nobody knows is told before anything is trained
        below: dict[str, Stage] = {"prepare": config.stages["prepare"], "requests": asked}
        if self.rationale != "none":
            below |= known(config)
        return below | self.rank.inputs(config)

    def effective(self, config: "Config") -> dict[str, Any]:
        """Whom it is for is told by ``requests``; the policy by what it stands on."""
        found = self.rank.effective(config)
        own: dict[str, Any] = {"top": self.top, "history_length": self.history_length}
        if self.rationale != "none":
            own["rationale"] = self.rationale
            groups = {name: config.groups[name].knobs() for name in ("reasoner", "refiner")}
            groups["words"] = config.groups["words"].knobs()
            found["groups"] = {**found.get("groups", {}), **groups}
        return {**found, "knobs": {**found["knobs"], **own}}

    def run(self, job: Job) -> Metrics:
        prepared = Prepared.of(job.inputs)
        requests = pl.read_parquet(job.inputs["requests"] / TABLE)
        samples = samples_of(requests, self.history_length)
        job = self.hinted(samples, prepared, job)
        lists = ranked(
            samples,
            lambda: self.rank.scorer(job, prepared),
            prepared,
            top=self.top,
            seed=job.seed,
            parts=job.scratch / "parts",
        )
        listed = bool(samples["is_listed"].all())
        kind = told.kind_of(self.policy, self.policy in MODELS, self.full, listed=listed)
        about = {"policy": self.policy, "score": kind, "requests": len(requests)}
        told.write(lists, requests, prepared, job.out, about)
        items = lists["ranked"].list.len()
        return {"requests": float(len(lists)), "recommended": float(items.sum())}

    def hinted(self, samples: pl.DataFrame, prepared: Prepared, job: Job) -> Job:
        """The job, having a rationale for each sample where they are read by the model."""
        if self.rationale == "none":
            return job
        cases = cases_of(samples, prepared, reveal=False)  # there is no target to be told
        texts = written(cases, job, stage="recommend", max_failed=self.max_failed)
        ids = samples["sample_id"].to_list()
        write(texts, ids, type(job.group(Reasoner)).__name__, job.out)
        if self.rationale == "shown":
            return job
        return replace(job, inputs={**job.inputs, "hints": job.out})

    def show(self, folder: Path) -> None:
        told.show(folder)
        if self.out:
            form = folder / told.FORMS[self.out.suffix]
            deliver("recommend.out", form, self.out, told.LISTS, overwrite=self.overwrite)
