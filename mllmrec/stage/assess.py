"""Stage ``assess``: which rationales are confident enough to be learnt from."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from mllmrec.artifacts import REPORT, write_json
from mllmrec.assessment.confidence import confidence, kept, report
from mllmrec.assessment.samples import leaks
from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from mllmrec.report.tables import print_assessment
from mllmrec.schema import Model
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.consistency import COMPONENTS, Consistency
from mllmrec.training.rationales import TABLE

if TYPE_CHECKING:
    from mllmrec.schema import Config

log = logging.getLogger(__name__)

Share = Annotated[float, Field(ge=0, le=1)]


class Weights(Model):
    """Of the two consistencies in the confidence; only their proportion counts."""

    modality: Annotated[float, Field(ge=0)]
    prediction: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def check_sum(self) -> Self:
        if not self.modality + self.prediction:
            raise ValueError("one of the weights must be above 0")
        return self


class Assess(Stage):
    """Confidence = leakage gate × weighted modality and prediction consistency (our definition).

    ``keep=threshold`` keeps what has at least ``threshold``, ``keep=top_share`` that ``share`` of
    all rationales, the most confident ones. ``gate=false`` lets what names the target pass: it is
    there to measure what that does.
    """

    name: ClassVar[str] = "assess"

    scorer: Literal["backbone", "sft_plain"]
    embedder: Annotated[str, Field(min_length=1)]
    prediction: Literal["sigmoid", "gain"]
    title_words: Annotated[int, Field(ge=1)]
    tokens_per_batch: Annotated[int, Field(ge=1)]
    gate: bool
    weights: Weights
    keep: Literal["threshold", "top_share"]
    threshold: Share
    share: Share

    def check(self, config: "Config") -> None:
        if self.scorer == "sft_plain" and "sft" not in config.stages:
            raise Refusal(
                f"assess.scorer=sft_plain: stage={config.top.goal} has no knobs of sft",
                allowed="a goal that stands on sft, such as stage=sft",
                do="type stage=sft, or assess.scorer=backbone",
            )

    def check_typed(self, names: frozenset[str]) -> None:
        idle = {"threshold": "top_share", "share": "threshold"}
        for name, keep in idle.items():
            if name in names and self.keep == keep:
                other = "threshold" if keep == "top_share" else "top_share"
                raise Refusal(
                    f"assess.{name}={getattr(self, name):g}: has no effect with assess.keep={keep}",
                    allowed=f"assess.{name} with assess.keep={other}",
                    do=f"type assess.keep={other} assess.{name}={getattr(self, name):g}",
                )

    def inputs(self, config: "Config") -> dict[str, Stage]:
        parts = Consistency(
            scorer=self.scorer,
            embedder=self.embedder,
            prediction=self.prediction,
            tokens_per_batch=self.tokens_per_batch,
        )
        return {**known(config), "components": parts}

    def effective(self, config: "Config") -> dict[str, Any]:
        """What the components tell is told there; of the two rules, the one that is not asked."""
        knobs = {name: getattr(self, name) for name in ("gate", "title_words", "keep")}
        rule = "threshold" if self.keep == "threshold" else "share"
        return {"knobs": {**knobs, rule: getattr(self, rule), "weights": self.weights.knobs()}}

    def run(self, job: Job) -> Metrics:
        table = pl.read_parquet(job.inputs["components"] / COMPONENTS)
        prepared = Prepared.of(job.inputs)
        samples = prepared.samples("train").join(table, on="sample_id", maintain_order="right")
        found = leaks(samples, table["text"], prepared, self.title_words)
        table = table.with_columns(pl.Series("leak", found, dtype=pl.String))
        table = confidence(table, self.weights.model_dump(), gate=self.gate)
        table = kept(
            table, keep=self.keep, threshold=self.threshold, share=self.share, gate=self.gate
        )
        table.write_parquet(job.out / TABLE)
        told = report(table)
        write_json(job.out / REPORT, told)
        counts = told["counts"]
        log.info(
            "assess: %d of %d rationales are kept, %d name the target%s",
            *(counts["kept"], counts["rationales"], counts["leaks"]),
            "" if self.gate else " and pass: assess.gate=false",
        )
        means = {
            f"mean_{name}": float(table[name].mean() or 0.0)  # type: ignore[arg-type]
            for name in ("confidence", "modality", "prediction")
        }
        total = max(1, counts["rationales"])
        shares = {name: counts[name] / total for name in ("leaks", "kept")}
        return {
            "rationales": float(total),
            "kept": float(counts["kept"]),
            "share_kept": shares["kept"],
            "share_leaking": shares["leaks"],
            "share_stopped_by_gate": shares["leaks"] if self.gate else 0.0,
            **means,
        }

    def show(self, folder: Path) -> None:
        print_assessment(folder / REPORT)
