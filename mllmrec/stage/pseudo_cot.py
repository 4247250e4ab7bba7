"""Stage ``pseudo_cot``: the draft of a rationale for training samples, from their histories."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl
from pydantic import Field

from mllmrec.asking import Reply
from mllmrec.cases import cases_of
from mllmrec.dataset.joined import rationales_of
from mllmrec.reasoner.base import Reasoner
from mllmrec.records import RATIONALES, Prepared, Split
from mllmrec.report.tables import print_texts
from mllmrec.schema import Model, NoEffect, Words
from mllmrec.stage import adopt
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.replies import counts, settled
from mllmrec.training.rationales import HELD, TABLE

if TYPE_CHECKING:
    from mllmrec.schema import Config

log = logging.getLogger(__name__)

SPLITS: tuple[Split, Split] = ("train", "validation")  # those that rationales may be of


class PseudoCot(Stage):
    """Hands the writer histories and nothing else, unless ``reasoner.reveal_target`` is true.

    ``samples`` bounds how many training samples get a draft: those that ``cot_prob`` asks first.
    ``adopt`` takes drafts made elsewhere instead, as many as there are, by user and target; those
    of samples that are for validation here are kept apart.
    """

    name: ClassVar[str] = "pseudo_cot"
    version: ClassVar[int] = 2
    uses: ClassVar[tuple[str, ...]] = ("reasoner", "words")

    adopt: Annotated[Path | None, NoEffect()]
    min_join: Annotated[float, Field(ge=0, le=1), NoEffect()]
    samples: Annotated[int, Field(ge=1)] | None
    max_failed: Annotated[float, Field(ge=0, le=1), NoEffect()]

    def inputs(self, config: "Config") -> dict[str, Stage]:
        return {"prepare": config.stages["prepare"]} if self.adopt else known(config)

    def effective(self, config: "Config") -> dict[str, Any]:
        if self.adopt:
            return adopted_identity(self.adopt, self.name)
        return super().effective(config)

    def ready(self, config: "Config") -> None:
        if not self.adopt:
            config.reasoner.ready()

    def run(self, job: Job) -> Metrics:
        return carry_out(self, job, self.written, Reasoner)

    def written(self, prepared: Prepared, job: Job) -> list[Reply]:
        """A draft, or why there is none, for each sample that is to have one."""
        reasoner = job.group(Reasoner)
        if reasoner.reveal_target:
            log.warning(
                "LEAK: reasoner.reveal_target=true: the writer of rationales is told the target"
            )
        asked = prepared.chosen("train", self.samples, job.seed, "rationale")
        cases = cases_of(asked, prepared, reveal=reasoner.reveal_target)
        return reasoner.write(cases, job.group(Words), job.journal)

    def show(self, folder: Path) -> None:
        print_texts(folder / TABLE, folder / "failures.parquet")


def adopted_identity(file: Path, stage: str) -> dict[str, Any]:
    """The identity of rationales made elsewhere: their content, and what is made of it."""
    return adopt.file_identity(file, stage) | {"tables": [TABLE, HELD]}


def carry_out(
    stage: Any, job: Job, ask: Callable[[Prepared, Job], list[Reply]], kind: type[Model]
) -> Metrics:
    """Publish what a stage of rationales adopts, or what its writer, of this kind, is asked for."""
    prepared = Prepared.of(job.inputs)
    if stage.adopt:
        reader = partial(
            rationales_of, prepared=prepared, stage=stage.name, min_join=stage.min_join
        )
        replies, writer = adopt.read(stage.adopt, reader), "adopted"
    else:
        replies, writer = ask(prepared, job), type(job.group(kind)).__name__
    texts = settled(
        replies, job.out, stage=stage.name, what="rationale", max_failed=stage.max_failed
    )
    return publish(texts, len(replies), prepared, writer, job.out)


def publish(
    texts: Mapping[str, str], asked: int, prepared: Prepared, writer: str, out: Path
) -> Metrics:
    """Write both tables: the rationales of training samples, and apart from them the held ones.

    ``held.parquet`` has rows only where rationales were made elsewhere, as nobody here writes
    them for validation: they are for what measures, and never trained on.
    """
    ids, held = (prepared.samples(split)["sample_id"].to_list() for split in SPLITS)
    write(texts, ids, writer, out)
    write(texts, held, writer, out, HELD)
    apart = sum(id in texts for id in held)
    told = {"rationales": float(len(texts) - apart), "held": float(apart)}
    return counts(dict(texts), asked, "rationales") | told


def write(
    texts: Mapping[str, str], ids: Iterable[str], writer: str, out: Path, name: str = TABLE
) -> None:
    """A table (RATIONALES) of the texts there are, in the order of ``ids``."""
    rows = [{"sample_id": id, "text": texts[id], "writer": writer} for id in ids if id in texts]
    pl.DataFrame(rows, schema=RATIONALES).write_parquet(out / name)
