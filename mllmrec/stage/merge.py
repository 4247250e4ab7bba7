"""Stage ``merge``: the SFT adapter becomes part of the weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from mllmrec.stage import adopt
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.pretrain import backbone_of
from mllmrec.training.options import Tolerance

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Merge(Stage):
    """Merge, and check that the merged model gives the adapter's log-probabilities.

    ``tolerance`` is the largest difference of a token's log-probability, in nats, by the type of
    the weights, on ``check_samples`` prompts of the validation split. The type is kept.
    """

    name: ClassVar[str] = "merge"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words")
    needs_torch: ClassVar[bool] = True

    check_samples: Annotated[int, Field(ge=1)]
    tolerance: Tolerance
    adopt: Path | None

    def inputs(self, config: "Config") -> dict[str, Stage]:
        if self.adopt:
            return {}
        stages = config.stages
        return {**known(config), "sft": stages["sft"], **backbone_of(config)}

    def effective(self, config: "Config") -> dict[str, Any]:
        if self.adopt:
            return adopt.identity(self.adopt, "merge")
        # the check below reads prompts, but what is published depends on the backbone alone
        return {"backbone": config.backbone.knobs()}

    def run(self, job: Job) -> Metrics:
        from mllmrec.training.merge import check_model, run_merge

        if self.adopt:
            return adopt.take(self.adopt, job.out, check_model)
        return run_merge(self.check_samples, self.tolerance, job)
