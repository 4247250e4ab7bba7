"""Stage ``grpo``: reinforcement learning on the merged SFT model."""

from typing import TYPE_CHECKING, ClassVar

from mllmrec.stage.base import Job, Metrics, Stage
from mllmrec.stage.sft import check_probe, hints
from mllmrec.training.options import GrpoOptions

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Grpo(Stage, GrpoOptions):
    """With what effort the method of ``algorithm`` is run, and from which model."""

    name: ClassVar[str] = "grpo"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words", "reward", "algorithm")
    needs_torch: ClassVar[bool] = True

    def inputs(self, config: "Config") -> dict[str, Stage]:
        stages = config.stages
        return {"prepare": stages["prepare"], "model": stages["merge"], **hints(self, config)}

    def check(self, config: "Config") -> None:
        check_probe(self, config)

    def run(self, job: Job) -> Metrics:
        from mllmrec.training.grpo import run_grpo

        return run_grpo(self, job, self.name)
