"""Stage ``hints``: rationales for samples that are not trained on, to measure what they are worth.

The probe of GRPO stands on one for validation samples, ``evaluate.hint`` on one for the test. They
are written as those of training are, and go through the same gate, but through no threshold:
confidence asks how a rationale serves the target, and choosing by that would tell of it.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from mllmrec.cases import cases_of
from mllmrec.reasoner.base import Reasoner
from mllmrec.records import Prepared, Split
from mllmrec.refiner.base import Refiner
from mllmrec.schema import Words
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.consistency import leaks
from mllmrec.stage.pseudo_cot import write
from mllmrec.stage.replies import counts, settled

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Hints(Stage):
    """A rationale for each of the first ``samples`` of a split, in the order of ``purpose``."""

    name: ClassVar[str] = "hints"
    uses: ClassVar[tuple[str, ...]] = ("reasoner", "refiner", "words")

    split: Split
    samples: int | None
    purpose: str
    gate: bool
    title_words: int
    max_failed: float

    @property
    def label(self) -> str:
        return f"hints {self.split}"

    def inputs(self, config: "Config") -> dict[str, Stage]:
        return known(config)

    def effective(self, config: "Config") -> dict[str, Any]:
        found = super().effective(config)
        del found["knobs"]["max_failed"]
        return found

    def ready(self, config: "Config") -> None:
        config.reasoner.ready()
        config.refiner.ready()

    def run(self, job: Job) -> Metrics:
        prepared, reasoner = Prepared.of(job.inputs), job.group(Reasoner)
        samples = prepared.chosen(self.split, self.samples, job.seed, self.purpose)
        cases = cases_of(samples, prepared, reveal=reasoner.reveal_target)
        replies = reasoner.write(cases, job.group(Words), job.journal)
        refiner = job.group(Refiner)
        if refiner.is_active:
            drafts = {one.id: one.text for one in replies if one.text is not None}
            some = [case for case in cases if case.sample_id in drafts]
            refined = refiner.write(some, drafts, job.group(Words), job.journal)
            replies = [*refined, *(one for one in replies if one.text is None)]
        texts = settled(
            replies, job.out, stage="pseudo_cot", what="hint", max_failed=self.max_failed
        )
        stopped = self.stopped(samples, texts, prepared) if self.gate else set()
        passed = {id: text for id, text in texts.items() if id not in stopped}
        write(passed, samples["sample_id"].to_list(), type(reasoner).__name__, job.out)
        return {**counts(passed, len(samples), "hints"), "stopped_by_gate": float(len(stopped))}

    def stopped(self, samples: pl.DataFrame, texts: dict[str, str], prepared: Prepared) -> set[str]:
        """The samples whose rationale names their target."""
        some = samples.filter(pl.col("sample_id").is_in([*texts]))
        told = [texts[id] for id in some["sample_id"]]
        found = leaks(some, told, prepared, self.title_words)
        return {id for id, leak in zip(some["sample_id"], found, strict=True) if leak}


def hints_of(config: "Config", split: Split, samples: int | None, purpose: str) -> dict[str, Stage]:
    """The stage that writes hints for a split; none where rationales were made elsewhere."""
    stages = config.stages
    if any(getattr(stages[name], "adopt", None) for name in ("pseudo_cot", "refine")):
        return {}
    assess = stages["assess"]
    made = Hints(
        split=split,
        samples=samples,
        purpose=purpose,
        gate=assess.gate,
        title_words=assess.title_words,
        max_failed=stages["pseudo_cot"].max_failed,
    )
    return {"hints": made}
