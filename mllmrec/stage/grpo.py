"""Stage ``grpo``: reinforcement learning on the merged SFT model."""

from typing import TYPE_CHECKING, Any, ClassVar

from mllmrec.errors import Refusal
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

    def effective(self, config: "Config") -> dict[str, Any]:
        found = super().effective(config)
        if config.groups["algorithm"].rollout == "exact":
            found["knobs"].pop("num_generations")  # a group is all candidates
        return found

    def check(self, config: "Config") -> None:
        check_probe(self, config)
        algorithm = config.groups["algorithm"]
        candidates = int(config.stages["prepare"].train_protocol[3:]) + 1
        if algorithm.rollout == "beam" and self.num_generations > candidates:
            raise Refusal(
                f"grpo.num_generations={self.num_generations}: a training prompt has {candidates} "
                "candidates, and a beam search names each once",
                allowed=f"at most {candidates} with algorithm.rollout=beam",
                do=f"type grpo.num_generations={candidates}, or another algorithm.rollout",
            )
        if self.vllm and (algorithm.rollout != "sample" or algorithm.constrained):
            raise Refusal(
                f"grpo.vllm=true: algorithm.rollout={algorithm.rollout} is not written by vLLM",
                allowed="free sampling: algorithm.rollout=sample algorithm.constraint=null",
                do="type grpo.vllm=false, or algorithm.rollout=sample",
            )

    def run(self, job: Job) -> Metrics:
        from mllmrec.training.grpo import run_grpo

        return run_grpo(self, job, self.name)
