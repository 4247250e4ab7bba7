"""Stage ``refine``: drafts rewritten by a stronger model of text, from titles and captions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl
from pydantic import Field

from mllmrec.asking import Reply
from mllmrec.cases import cases_of
from mllmrec.errors import Refusal
from mllmrec.reasoner.base import Reasoner
from mllmrec.records import SAMPLES, Prepared
from mllmrec.refiner.base import Refiner
from mllmrec.report.tables import print_texts
from mllmrec.schema import NoEffect, Words
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.pseudo_cot import SPLITS, adopted_identity, carry_out
from mllmrec.training.rationales import HELD, TABLE, drafts

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Refine(Stage):
    """One rationale a draft; one that could not be rewritten is a failure, never kept as it was.

    The refiner is shown the target only where the reasoner was. ``adopt`` takes rationales made
    elsewhere instead, as they are, by user and target.
    """

    name: ClassVar[str] = "refine"
    uses: ClassVar[tuple[str, ...]] = ("reasoner", "refiner", "words")

    adopt: Annotated[Path | None, NoEffect()]
    min_join: Annotated[float, Field(ge=0, le=1), NoEffect()]
    max_failed: Annotated[float, Field(ge=0, le=1), NoEffect()]

    def inputs(self, config: "Config") -> dict[str, Stage]:
        if self.adopt:
            return {"prepare": config.stages["prepare"]}
        if not config.refiner.is_active:
            raise Refusal(
                "stage=refine: refiner=none rewrites nothing",
                allowed="a refiner, endpoint or transformers, or refine.adopt",
                do="type refiner=endpoint, or stage=assess to go on with the drafts",
            )
        return {**known(config), "drafts": config.stages["pseudo_cot"]}

    def effective(self, config: "Config") -> dict[str, Any]:
        """Of the reasoner only whether it told: the drafts, an input, say the rest."""
        if self.adopt:
            return adopted_identity(self.adopt, self.name)
        told = super().effective(config)
        told["groups"]["reasoner"] = {"reveal_target": config.reasoner.reveal_target}
        return told

    def ready(self, config: "Config") -> None:
        if not self.adopt:
            config.refiner.ready()

    def run(self, job: Job) -> Metrics:
        return carry_out(self, job, self.refined, Refiner)

    def refined(self, prepared: Prepared, job: Job) -> list[Reply]:
        """Each draft rewritten, or why it is not; the held ones of adopted drafts too."""
        folder = job.inputs["drafts"]
        texts = drafts(folder) | (drafts(folder, HELD) if (folder / HELD).exists() else {})
        every = pl.concat([prepared.samples(split).select(*SAMPLES) for split in SPLITS])
        samples = every.filter(pl.col("sample_id").is_in([*texts]))
        cases = cases_of(samples, prepared, reveal=job.group(Reasoner).reveal_target)
        return job.group(Refiner).write(cases, texts, job.group(Words), job.journal)

    def show(self, folder: Path) -> None:
        print_texts(folder / TABLE, folder / "failures.parquet")


def last_word(config: "Config") -> Stage:
    """The stage that has the last word on rationales: the refiner's, or the drafts'."""
    refine: Refine = config.stages["refine"]
    is_active = refine.adopt or config.refiner.is_active
    pseudo_cot: Stage = config.stages["pseudo_cot"]
    return refine if is_active else pseudo_cot
