"""Stage ``fit``: one recommender, trained on the training interactions alone.

It is of no YAML: the rank of a policy that is a recommender stands on one, and makes it.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from mllmrec.recommender.fitted import run_fit
from mllmrec.records import Prepared
from mllmrec.stage.base import Job, Metrics, Stage

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Fit(Stage):
    """The network of ``recommender``, over histories of the length that samples have."""

    name: ClassVar[str] = "fit"
    uses: ClassVar[tuple[str, ...]] = ("recommender",)
    needs_torch: ClassVar[bool] = True

    recommender: str
    history_length: int

    @property
    def label(self) -> str:
        return f"fit {self.recommender}"

    def inputs(self, config: "Config") -> dict[str, Stage]:
        return {"prepare": config.stages["prepare"]}

    def effective(self, config: "Config") -> dict[str, Any]:
        """Of the recommenders, its own alone."""
        own = config.recommender[self.recommender].knobs()
        return {"knobs": self.knobs(), "groups": {"recommender": own}}

    def run(self, job: Job) -> Metrics:
        return run_fit(
            job.groups["recommender"][self.recommender],
            Prepared.of(job.inputs),
            history_length=self.history_length,
            out=job.out,
            scratch=job.scratch,
            seed=job.seed,
            label=self.label,
            log=job.log,
        )
