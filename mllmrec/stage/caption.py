"""Stage ``caption``: what each item's picture shows, in words, once and for all."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import polars as pl
from pydantic import Field

from mllmrec.artifacts import file_digest
from mllmrec.captioner.base import Captioner, Pictured
from mllmrec.dataset.joined import captions_of
from mllmrec.errors import Refusal
from mllmrec.records import CAPTIONS, Prepared
from mllmrec.report.tables import print_texts
from mllmrec.schema import NoEffect
from mllmrec.stage import adopt
from mllmrec.stage.base import Job, Metrics, Stage
from mllmrec.stage.replies import counts, settled

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Caption(Stage):
    """A caption an item that has a picture; a picture that cannot be read is named and counted.

    ``adopt`` takes captions made elsewhere instead, by item id, of items without pictures too.
    """

    name: ClassVar[str] = "caption"
    uses: ClassVar[tuple[str, ...]] = ("captioner",)

    adopt: Annotated[Path | None, NoEffect()]
    min_join: Annotated[float, Field(ge=0, le=1), NoEffect()]
    max_failed: Annotated[float, Field(ge=0, le=1), NoEffect()]

    def inputs(self, config: "Config") -> dict[str, Stage]:
        if not self.adopt and not config.dataset.has_pictures:
            raise Refusal(
                "stage=caption: this dataset has no pictures",
                allowed="a dataset whose items have some, such as dataset=toy, or caption.adopt",
                do="type prompt.captions=false, or caption.adopt=FILE, or another dataset",
            )
        return {"prepare": config.stages["prepare"]}

    def effective(self, config: "Config") -> dict[str, Any]:
        if self.adopt:
            return adopt.file_identity(self.adopt, self.name)
        return super().effective(config)

    def ready(self, config: "Config") -> None:
        if not self.adopt:
            config.captioner.ready()

    def run(self, job: Job) -> Metrics:
        prepared = Prepared(job.inputs["prepare"])
        items = pictured(prepared)
        if self.adopt:
            reader = partial(
                captions_of, prepared=prepared, stage=self.name, min_join=self.min_join
            )
            replies, writer = adopt.read(self.adopt, reader), "adopted"
        else:
            captioner = job.group(Captioner)
            replies = captioner.write(list(items.values()), job.journal)
            writer = type(captioner).__name__
        texts = settled(
            replies, job.out, stage=self.name, what="caption", max_failed=self.max_failed
        )
        table(texts, prepared, items, writer).write_parquet(job.out / "captions.parquet")
        return counts(texts, len(replies), "captions")

    def show(self, folder: Path) -> None:
        print_texts(folder / "captions.parquet", folder / "failures.parquet")


def pictured(prepared: Prepared) -> dict[str, Pictured]:
    """The items that have a picture, in the order of the table, by their ids."""
    rows = prepared.items.filter(pl.col("picture").is_not_null())
    return {
        id: Pictured(item_id=id, title=title, picture=prepared.folder / picture)
        for id, title, picture in rows.select("item_id", "title", "picture").iter_rows()
    }


def table(
    texts: Mapping[str, str], prepared: Prepared, items: Mapping[str, Pictured], writer: str
) -> pl.DataFrame:
    """CAPTIONS, in the order of the items; no hash of a picture where there is none."""
    rows = [
        {
            "item_id": id,
            "text": texts[id],
            "writer": writer,
            "picture_sha256": file_digest(items[id].picture) if id in items else None,
        }
        for id in prepared.items["item_id"]
        if id in texts
    ]
    return pl.DataFrame(rows, schema=CAPTIONS)
