"""Stage ``pseudo_cot``: a rationale for every training sample, from its history alone."""

from typing import TYPE_CHECKING, ClassVar

import polars as pl

from mllmrec.reasoner.base import Reasoner
from mllmrec.records import Prepared
from mllmrec.stage.base import Job, Metrics, Stage

if TYPE_CHECKING:
    from mllmrec.schema import Config


class PseudoCot(Stage):
    """Hands the writer histories and nothing else, so that no target can leak into a text."""

    name: ClassVar[str] = "pseudo_cot"
    uses: ClassVar[tuple[str, ...]] = ("reasoner",)

    def inputs(self, config: "Config") -> dict[str, Stage]:
        return {"prepare": config.stages["prepare"]}

    def run(self, job: Job) -> Metrics:
        prepared = Prepared(job.inputs["prepare"])
        seen = prepared.samples("train").select("sample_id", "history")
        texts = list(job.group(Reasoner).write(seen, prepared.items))
        table = seen.select("sample_id").with_columns(pl.Series("text", texts, dtype=pl.String))
        table.write_parquet(job.out / "rationales.parquet")
        words = [len(text.split()) for text in texts]
        return {"rationales": float(len(texts)), "mean_words": sum(words) / max(1, len(words))}
