"""Stage ``requests``: whom ``recommend`` is asked for, checked against the data.

It is of no YAML: ``recommend`` makes it. It stands on ``prepare`` alone, so that a title that
nobody knows is told before any model is trained.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mllmrec.records import Prepared
from mllmrec.schema import NoEffect
from mllmrec.serving.names import Match, Names
from mllmrec.serving.requests import TABLE, Faults, resolved
from mllmrec.serving.rows import MARKS, Row, rows_of
from mllmrec.stage import adopt
from mllmrec.stage.base import Job, Metrics, Stage

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Requests(Stage):
    """One history, one user, or the rows of a file; ``candidates`` are of those that name none."""

    name: ClassVar[str] = "requests"

    history: tuple[str, ...]
    user: str | None
    file: Annotated[Path | None, NoEffect()]  # its content is what counts
    candidates: tuple[str, ...]
    match: Match
    separator: str
    max_bad_rows: Annotated[int, NoEffect()]

    def inputs(self, config: "Config") -> dict[str, Stage]:
        return {"prepare": config.stages["prepare"]}

    def effective(self, config: "Config") -> dict[str, Any]:
        knobs = self.knobs()
        if not self.file or self.file.suffix.lower() not in MARKS:
            del knobs["separator"]
        told = adopt.files_identity([self.file]) if self.file else {}
        return {"knobs": knobs, **told}

    def run(self, job: Job) -> Metrics:
        prepared = Prepared.of(job.inputs)
        names, faults = Names(prepared.items, self.match), Faults(limit=self.max_bad_rows)
        found = resolved(self.rows(), names, prepared, self.candidates, faults)
        faults.settle(len(found), is_file=bool(self.file))
        found.write_parquet(job.out / TABLE)
        return {"requests": float(len(found)), "bad_rows": float(faults.count)}

    def rows(self) -> list[Row]:
        """The rows of the file, or the one that was typed."""
        if self.file:
            return adopt.read(self.file, lambda file: [*rows_of(file, self.separator)])
        given: Any = {"id": None, "candidates": None, "history": None, "user": self.user}
        if self.user is None:
            given["history"] = list(self.history)
        where = "recommend.history" if self.user is None else "recommend.user"
        return [Row(where=where, cells=given)]
