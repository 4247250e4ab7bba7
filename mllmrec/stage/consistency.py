"""Stage ``consistency``: what each rationale is made of, before any threshold is put to it.

``assess`` stands on it, so that another threshold, weight or share costs no new pass.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl

from mllmrec import ranks
from mllmrec.artifacts import digest, folder_files
from mllmrec.assessment.confidence import gain, prediction
from mllmrec.assessment.modality import TFIDF, by_tfidf, by_vectors
from mllmrec.dataset.candidates import FULL
from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.pretrain import backbone_of
from mllmrec.stage.refine import last_word
from mllmrec.stage.sft import Sft
from mllmrec.training.rationales import drafts

if TYPE_CHECKING:
    from mllmrec.schema import Config

COMPONENTS = "components.parquet"


class PlainSft(Sft):
    """The SFT that knows no rationales; the same artifact as ``sft`` has at ``cot_prob=0``."""

    @property
    def label(self) -> str:
        return "sft_plain"

    def knobs(self) -> dict[str, Any]:
        return {**super().knobs(), "kind": "Sft"}


class Consistency(Stage):
    """Of each rationale: its modality and its prediction consistency."""

    name: ClassVar[str] = "consistency"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words")
    needs_torch: ClassVar[bool] = True

    scorer: Literal["backbone", "sft_plain"]
    embedder: str
    prediction: Literal["sigmoid", "gain"]
    tokens_per_batch: int

    @property
    def spreads(self) -> bool:
        return True

    def inputs(self, config: "Config") -> dict[str, Stage]:
        stages = config.stages
        below = {**known(config), **backbone_of(config), "rationales": last_word(config)}
        if self.scorer == "sft_plain":
            plain = {**dict(stages["sft"]), "cot_prob": 0.0}
            below["adapter"] = PlainSft.model_construct(**plain)
        return below

    def effective(self, config: "Config") -> dict[str, Any]:
        """An embedding model in a folder is known by its content."""
        found, folder = super().effective(config), Path(self.embedder).expanduser()
        if folder.is_dir():
            found["knobs"]["embedder"] = digest(folder_files(folder))
        return found

    def ready(self, config: "Config") -> None:
        if config.stages["prepare"].train_protocol == FULL:
            raise Refusal(
                f"cot_prob={config.top.cot_prob:g}: how a rationale serves its sample is told by"
                f" the candidates of its prompt, and prepare.train_protocol={FULL} lists none",
                allowed="no rationales, or drawn candidates in training",
                do="type cot_prob=0, or prepare.train_protocol=uni9",
            )

    def run(self, job: Job) -> Metrics:
        prepared, texts = Prepared.of(job.inputs), drafts(job.inputs["rationales"])
        samples = prepared.samples("train").filter(pl.col("sample_id").is_in([*texts]))
        if samples.is_empty():
            raise Refusal(
                "consistency: there is no rationale to assess",
                allowed="one training sample or more with a rationale",
                do="type cot_prob=0 to go on without, or look at failures.parquet in "
                f"{job.inputs['rationales']}",
            )
        told = [texts[id] for id in samples["sample_id"]]
        table = samples.select("sample_id").with_columns(
            pl.Series("text", told, dtype=pl.String),
            pl.Series("modality", self.modality(samples, told, prepared), dtype=pl.Float64),
            pl.Series(
                "prediction", self.predictions(samples, texts, prepared, job), dtype=pl.Float64
            ),
        )
        if ranks.is_main():
            table.write_parquet(job.out / COMPONENTS)
        return {"rationales": float(len(table))}

    def modality(self, samples: pl.DataFrame, told: list[str], prepared: Prepared) -> Any:
        """Titles take the place of captions where there are none."""
        words = prepared.captions or prepared.titles
        shown = [[words[i] for i in row if i in words] for row in samples["history"].to_list()]
        if self.embedder == TFIDF:
            return by_tfidf(told, shown)
        from mllmrec.policy.embedding import embed

        every = sorted({text for row in shown for text in row})
        vectors = dict(zip(every, embed(self.embedder, every), strict=True))
        return by_vectors(
            embed(self.embedder, told), [[vectors[text] for text in row] for row in shown]
        )

    def predictions(
        self, samples: pl.DataFrame, texts: dict[str, str], prepared: Prepared, job: Job
    ) -> list[float]:
        """By mean token log-probabilities of all candidates, with the rationale as a hint."""
        from mllmrec.policy.model import ModelPolicy

        model = ModelPolicy(job, self.tokens_per_batch)
        hinted = model.means(prepared, samples, "train", texts)
        rows = zip(samples["train"].to_list(), samples["target"], strict=True)
        targets = [row.index(target) for row, target in rows]
        if self.prediction == "sigmoid":
            return [prediction(row, target) for row, target in zip(hinted, targets, strict=True)]
        plain = model.means(prepared, samples, "train", {})
        return [gain(*row) for row in zip(plain, hinted, targets, strict=True)]
