"""Stage ``hints``: rationales for samples that are not trained on, to measure what they are worth.

The probe of GRPO stands on one for validation samples, ``evaluate.hint`` on one for the test. They
are written as those of training are, and go through the same gate, but through no threshold:
confidence asks how a rationale serves the target, and choosing by that would tell of it.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from mllmrec.assessment.samples import leaks
from mllmrec.cases import Case, cases_of
from mllmrec.errors import Refusal
from mllmrec.reasoner.base import Reasoner
from mllmrec.records import Prepared, Split
from mllmrec.refiner.base import Refiner
from mllmrec.schema import Words
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.pseudo_cot import write
from mllmrec.stage.refine import last_word
from mllmrec.stage.replies import counts, settled
from mllmrec.training.rationales import HELD, drafts

if TYPE_CHECKING:
    from mllmrec.schema import Config

log = logging.getLogger(__name__)


class Hints(Stage):
    """A rationale for each of the first ``samples`` of a split, in the order of ``purpose``.

    ``adopted``: they were made elsewhere, and those of validation samples are among them.
    """

    name: ClassVar[str] = "hints"
    uses: ClassVar[tuple[str, ...]] = ("reasoner", "refiner", "words")

    split: Split
    samples: int | None
    purpose: str
    gate: bool
    title_words: int
    max_failed: float
    adopted: bool

    @property
    def label(self) -> str:
        return f"hints {self.split}"

    def inputs(self, config: "Config") -> dict[str, Stage]:
        return known(config) | ({"adopted": last_word(config)} if self.adopted else {})

    def effective(self, config: "Config") -> dict[str, Any]:
        found = super().effective(config)
        del found["knobs"]["max_failed"]
        if not self.gate:
            del found["knobs"]["title_words"]
        if self.adopted:
            del found["groups"]
        return found

    def ready(self, config: "Config") -> None:
        if not self.adopted:
            config.reasoner.ready()
            config.refiner.ready()

    def run(self, job: Job) -> Metrics:
        prepared = Prepared.of(job.inputs)
        samples = prepared.chosen(self.split, self.samples, job.seed, self.purpose)
        texts = self.held(samples, job) if self.adopted else self.written(samples, prepared, job)
        stopped = self.stopped(samples, texts, prepared) if self.gate else set()
        passed = {id: text for id, text in texts.items() if id not in stopped}
        writer = "adopted" if self.adopted else type(job.group(Reasoner)).__name__
        write(passed, samples["sample_id"].to_list(), writer, job.out)
        return {**counts(passed, len(samples), "hints"), "stopped_by_gate": float(len(stopped))}

    def held(self, samples: pl.DataFrame, job: Job) -> dict[str, str]:
        """Those that were made elsewhere; how many of the samples have one is said."""
        texts = drafts(job.inputs["adopted"], HELD)
        found = {id: texts[id] for id in samples["sample_id"] if id in texts}
        told = "%s: %d of %d samples have an adopted rationale"
        log.info(told, self.label, len(found), len(samples))
        return found

    def written(self, samples: pl.DataFrame, prepared: Prepared, job: Job) -> dict[str, str]:
        """By the reasoner, which may be told targets where that is what is measured."""
        cases = cases_of(samples, prepared, reveal=job.group(Reasoner).reveal_target)
        return written(cases, job, stage="pseudo_cot", max_failed=self.max_failed)

    def stopped(self, samples: pl.DataFrame, texts: dict[str, str], prepared: Prepared) -> set[str]:
        """The samples whose rationale names their target."""
        some = samples.filter(pl.col("sample_id").is_in([*texts]))
        told = [texts[id] for id in some["sample_id"]]
        found = leaks(some, told, prepared, self.title_words)
        return {id for id, leak in zip(some["sample_id"], found, strict=True) if leak}


def written(cases: Sequence[Case], job: Job, *, stage: str, max_failed: float) -> dict[str, str]:
    """Texts by the reasoner, and the refiner where there is one; each has a journal of its own.

    Refuses more failures than ``max_failed``, a knob of ``stage``.
    """
    reasoner, refiner, words = job.group(Reasoner), job.group(Refiner), job.group(Words)
    replies = reasoner.write(cases, words, job.journal)
    if refiner.is_active:
        known = {one.id: one.text for one in replies if one.text is not None}
        some = [case for case in cases if case.sample_id in known]
        own = job.journal.with_stem(f"{job.journal.stem}-refiner")
        refined = refiner.write(some, known, words, own)
        replies = [*refined, *(one for one in replies if one.text is None)]
    return settled(replies, job.out, stage=stage, what="hint", max_failed=max_failed)


def hints_of(config: "Config", split: Split, samples: int | None, purpose: str) -> dict[str, Stage]:
    """The stage that has hints for a split.

    Raises:
        Refusal: rationales were made elsewhere, and not for this split.
    """
    stages = config.stages
    adopted = [name for name in ("pseudo_cot", "refine") if stages[name].adopt]
    if adopted and split != "validation":
        raise Refusal(
            f"{adopted[0]}.adopt={stages[adopted[0]].adopt}: has no hints for {split} samples",
            allowed="hints that reasoner= writes",
            do=f"type {adopted[0]}.adopt=null, or leave the hints out",
        )
    made = Hints(
        split=split,
        samples=samples,
        purpose=purpose,
        gate=stages["assess"].gate,
        title_words=stages["assess"].title_words,
        max_failed=stages["pseudo_cot"].max_failed,
        adopted=bool(adopted),
    )
    return {"hints": made}
