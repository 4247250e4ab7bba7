"""Stage ``grpo``: reinforcement learning on the merged SFT model."""

from typing import TYPE_CHECKING, Any, ClassVar

from mllmrec.algorithm.base import draws_candidates
from mllmrec.dataset.candidates import parsed
from mllmrec.errors import Refusal
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.hints import hints_of
from mllmrec.stage.sft import check_probe, rationales, with_place
from mllmrec.training.options import GrpoOptions, check_trainer_args

if TYPE_CHECKING:
    from mllmrec.schema import Config

# Fields of TRL's GRPOConfig that would do nothing here: what needs more of a forward than
# log-probabilities, or another loop; what shapes TRL's own writing; what its loss reads.
IDLE = (
    *("entropy_coef", "use_adaptive_entropy", "mask_truncated_completions", "sync_ref_model"),
    *("eval_strategy", "do_eval", "eval_on_start", "pad_to_multiple_of", "use_liger_kernel"),
)
WRITING = (
    *("min_p", "repetition_penalty", "generation_kwargs", "cache_implementation"),
    *("use_transformers_continuous_batching", "use_transformers_paged"),
)
LOSS = (
    *("loss_type", "epsilon", "epsilon_high", "delta", "importance_sampling_level"),
    *("scale_rewards", "multi_objective_aggregation", "top_entropy_quantile", "num_iterations"),
    *("off_policy_mask_threshold", "use_bias_correction_kl"),
)


class Grpo(Stage, GrpoOptions):
    """With what effort the method of ``algorithm`` is run, and from which model."""

    name: ClassVar[str] = "grpo"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words", "reward", "algorithm")
    needs_torch: ClassVar[bool] = True

    @property
    def spreads(self) -> bool:
        return True

    def inputs(self, config: "Config") -> dict[str, Stage]:
        stages = config.stages
        below = {**known(config), "model": stages["merge"]}
        carried = rationales(self, config, ("prompt",))
        if carried and self.probe:
            carried |= hints_of(config, "validation", self.probe.samples, "probe")
        return below | carried

    def effective(self, config: "Config") -> dict[str, Any]:
        found = with_place(super().effective(config), config, "rationales" in self.inputs(config))
        if config.groups["algorithm"].rollout == "exact":  # a group is all candidates
            del found["knobs"]["num_generations"], found["knobs"]["max_completion_length"]
        return found

    def check(self, config: "Config") -> None:
        check_probe(self, config)
        self.check_inflation(config)
        self.check_thoughts(config)
        self.check_trainer(config)
        algorithm = config.groups["algorithm"]
        algorithm.check(config)
        candidates = parsed(config.stages["prepare"].train_protocol)[1] + 1
        if algorithm.rollout == "beam" and self.num_generations > candidates:
            raise Refusal(
                f"grpo.num_generations={self.num_generations}: a training prompt has {candidates} "
                "candidates, and a beam search names each once",
                allowed=f"at most {candidates} with algorithm.rollout=beam",
                do=f"type grpo.num_generations={candidates}, or another algorithm.rollout",
            )
        if self.vllm and (algorithm.rollout != "sample" or algorithm.constrained):
            raise Refusal(
                f"grpo.vllm=true: algorithm.rollout={algorithm.rollout} with "
                f"algorithm.constraint={algorithm.constrained} is not written by vLLM",
                allowed="free sampling: algorithm.rollout=sample algorithm.constraint=null",
                do="type algorithm.rollout=sample algorithm.constraint=null, or grpo.vllm=false",
            )
        if self.vllm and self.lora.item_rows and getattr(config.backbone, "item_tokens", False):
            raise Refusal(
                "grpo.vllm=true: vLLM does not take the embeddings of item tokens while they train",
                allowed="grpo.lora.item_rows=false, or a backbone without item tokens",
                do="type grpo.vllm=false, or grpo.lora.item_rows=false",
            )

    def check_inflation(self, config: "Config") -> None:
        """Refuse to stop on inflation where nothing can watch it, or where no best is kept."""
        algorithm = config.groups["algorithm"]
        if self.stop_on_inflation and not draws_candidates(algorithm):
            raise Refusal(
                f"grpo.stop_on_inflation={self.stop_on_inflation}: with algorithm.rollout="
                f"{algorithm.rollout} and algorithm.constraint={algorithm.constrained} the train "
                "reward is not of draws among the candidates, as that of the probe is",
                allowed="algorithm.rollout=enumerate, or sample with algorithm.constraint=token",
                do="type grpo.stop_on_inflation=null, or algorithm.rollout=enumerate",
            )
        if self.stop_on_inflation and not (self.probe and self.probe.keep == "best"):
            raise Refusal(
                f"grpo.stop_on_inflation={self.stop_on_inflation}: it watches grpo.probe, and "
                "publishes the best adapter on it",
                allowed="a probe, with grpo.probe.keep=best",
                do="type grpo.probe.keep=best, or grpo.stop_on_inflation=null",
            )

    def check_thoughts(self, config: "Config") -> None:
        """Refuse thoughts before answers where nothing could write them."""
        if config.prompt.inject != "completion":
            return
        algorithm = config.groups["algorithm"]
        if algorithm.rollout != "sample" or algorithm.constrained:
            raise Refusal(
                f"prompt.inject=completion: algorithm.rollout={algorithm.rollout} with "
                f"algorithm.constraint={algorithm.constrained} writes answers alone, no thoughts",
                allowed="free sampling: algorithm.rollout=sample algorithm.constraint=null",
                do="type algorithm.rollout=sample algorithm.constraint=null, or "
                "prompt.inject=prompt",
            )
        if self.max_completion_length is None:
            raise Refusal(
                "grpo.max_completion_length=null: with prompt.inject=completion a thought comes "
                "before the answer, and its length is yours to say",
                allowed="tokens for a thought and an answer together",
                do="type grpo.max_completion_length=128, for example",
            )

    def check_trainer(self, config: "Config") -> None:
        """Refuse what the trainer would not heed, and what a resumed run could not repeat."""
        exact = config.groups["algorithm"].rollout == "exact"
        idle = (*IDLE, *(() if self.vllm else WRITING), *(LOSS if exact else ()))
        check_trainer_args(self.name, self.trainer_args, idle)
        if self.lora.dropout:
            raise Refusal(
                f"grpo.lora.dropout={self.lora.dropout}: GRPO trains without dropout",
                allowed="0.0: rollouts, policy and reference are one distribution at the start",
                do="type grpo.lora.dropout=0.0",
            )
        rounds = self.trainer_args.get("num_iterations", 1)
        if self.save_steps % rounds:
            raise Refusal(
                f"grpo.save_steps={self.save_steps}: a generation is used for {rounds} steps, "
                "and what is left of it is in no checkpoint",
                allowed=f"a multiple of grpo.trainer_args.num_iterations={rounds}",
                do=f"type grpo.save_steps={self.save_steps * rounds}",
            )

    def run(self, job: Job) -> Metrics:
        from mllmrec.training.grpo import run_grpo

        return run_grpo(self, job, self.name)
