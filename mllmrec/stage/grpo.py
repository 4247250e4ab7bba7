"""Stage ``grpo``: reinforcement learning on the merged SFT model."""

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from mllmrec.algorithm.compatibility import cautions
from mllmrec.dataset.candidates import FULL
from mllmrec.dataset.full import size_of
from mllmrec.errors import Refusal
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.stage.hints import hints_of
from mllmrec.stage.sft import check_probe, rationales, with_place
from mllmrec.training.options import GrpoOptions, check_trainer_args

if TYPE_CHECKING:
    from mllmrec.schema import Config

log = logging.getLogger(__name__)

# Fields of TRL's GRPOConfig that would do nothing here: what needs more of a forward than
# log-probabilities, or another loop; what shapes TRL's own writing; what its loss reads.
IDLE = (
    *("entropy_coef", "use_adaptive_entropy", "mask_truncated_completions", "sync_ref_model"),
    *("eval_strategy", "do_eval", "eval_on_start", "pad_to_multiple_of", "use_liger_kernel"),
    *("entropy_coef_min", "entropy_coef_max", "entropy_coef_delta", "entropy_target"),
    *("ref_model_mixup_alpha", "ref_model_sync_steps", "num_generations_eval"),
)
LOGGING = (  # TRL keeps what these show where it takes the step itself
    *("log_completions", "num_completions_to_print", "log_unique_prompts"),
    "log_completions_hub_repo",
)
WRITING = (
    *("min_p", "repetition_penalty", "generation_kwargs", "cache_implementation"),
    *("use_transformers_continuous_batching", "use_transformers_paged"),
)
LOSS = (  # a part of the algorithm, or the knob grpo.num_iterations, says it
    *("loss_type", "epsilon", "epsilon_high", "delta", "importance_sampling_level"),
    *("scale_rewards", "multi_objective_aggregation", "top_entropy_quantile", "num_iterations"),
    *("off_policy_mask_threshold", "use_bias_correction_kl", "temperature", "top_p", "top_k"),
)


class Grpo(Stage, GrpoOptions):
    """With what effort the method of ``algorithm`` is run, and from which model."""

    name: ClassVar[str] = "grpo"
    version: ClassVar[int] = 2  # its own arithmetic of the loss, where TRL's was before
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
        if config.algorithm.rollout.name == "exhaust":  # a group is all candidates
            del found["knobs"]["num_generations"]
        if config.algorithm.rollout.name == "lists":  # the line that asks for one
            found["knobs"]["listing"] = config.prompt.listing
        return found

    def check(self, config: "Config") -> None:
        check_probe(self, config)
        self.check_inflation(config)
        self.check_thoughts(config)
        self.check_trainer(config)
        if not config.groups.get("reward"):
            raise Refusal(
                "reward=[]: nothing is paid, so that nothing can be learnt",
                allowed="one reward at least",
                do="type 'reward=[hit]'",
            )
        config.algorithm.check(config)
        self.check_catalogue(config)
        self.check_vllm(config)

    def check_catalogue(self, config: "Config") -> None:
        """Refuse groups that the candidates of a prompt cannot fill, or are too many to score."""
        protocol, rollout = config.stages["prepare"].train_protocol, config.algorithm.rollout.name
        candidates = size_of(protocol)
        if rollout == "beam" and self.num_generations > candidates:
            raise Refusal(
                f"grpo.num_generations={self.num_generations}: a training prompt has {candidates} "
                "candidates, and a beam search names each once",
                allowed=f"at most {candidates} with algorithm/rollout=beam",
                do=f"type grpo.num_generations={candidates}, or another algorithm/rollout",
            )
        items = getattr(config.algorithm.rollout, "items", 1)
        if items > candidates:
            raise Refusal(
                f"algorithm.rollout.items={items}: a training prompt has {candidates} candidates, "
                "and a list names none twice",
                allowed=f"at most {candidates}, or more candidates",
                do=f"type algorithm.rollout.items={candidates}, or another prepare.train_protocol",
            )
        if protocol == FULL and rollout in ("enumerate", "exhaust"):
            raise Refusal(
                f"algorithm/rollout={rollout}: with prepare.train_protocol={FULL} it would score "
                "every item of the catalogue behind each prompt, with gradients",
                allowed="rollouts that are written through the catalogue's trie",
                do="type algorithm/rollout=sample algorithm.rollout.constraint=token, or "
                "algorithm/rollout=beam",
            )

    def check_vllm(self, config: "Config") -> None:
        """Refuse vLLM where it could not write the answers."""
        rollout = config.algorithm.rollout
        if self.vllm and config.stages["prepare"].train_protocol == FULL:
            raise Refusal(
                f"grpo.vllm=true: with prepare.train_protocol={FULL} answers are held to the "
                "catalogue's trie, which vLLM does not know",
                allowed="prompts that list their candidates",
                do="type grpo.vllm=false",
            )
        if self.vllm and (rollout.name != "sample" or rollout.held):
            raise Refusal(
                f"grpo.vllm=true: algorithm/rollout={rollout.name} with "
                f"algorithm.rollout.constraint={rollout.held} is not written by vLLM",
                allowed="free sampling: algorithm/rollout=sample algorithm.rollout.constraint=null",
                do="type algorithm/rollout=sample algorithm.rollout.constraint=null, or "
                "grpo.vllm=false",
            )
        if self.vllm and self.lora.item_rows and getattr(config.backbone, "item_tokens", False):
            raise Refusal(
                "grpo.vllm=true: vLLM does not take the embeddings of item tokens while they train",
                allowed="grpo.lora.item_rows=false, or a backbone without item tokens",
                do="type grpo.vllm=false, or grpo.lora.item_rows=false",
            )

    def check_inflation(self, config: "Config") -> None:
        """Refuse to stop on inflation where nothing can watch it, or where no best is kept."""
        rollout = config.algorithm.rollout
        if self.stop_on_inflation and not rollout.draws_candidates:
            raise Refusal(
                f"grpo.stop_on_inflation={self.stop_on_inflation}: with algorithm/rollout="
                f"{rollout.name} and algorithm.rollout.constraint={rollout.held} the train "
                "reward is not of draws among the candidates, as that of the probe is",
                allowed="algorithm/rollout=enumerate, or sample with its constraint=token",
                do="type grpo.stop_on_inflation=null, or algorithm/rollout=enumerate",
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
        rollout = config.algorithm.rollout
        if rollout.name != "sample" or rollout.held:
            raise Refusal(
                f"prompt.inject=completion: algorithm/rollout={rollout.name} with "
                f"algorithm.rollout.constraint={rollout.held} writes answers alone, no thoughts",
                allowed="free sampling: algorithm/rollout=sample algorithm.rollout.constraint=null",
                do="type algorithm/rollout=sample algorithm.rollout.constraint=null, or "
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
        own = [name for name in self.trainer_args if name.startswith(("vllm_", "sapo_", "vespo_"))]
        idle = (*IDLE, *(() if self.vllm else (*WRITING, *LOGGING, *own)))
        check_trainer_args(self.name, self.trainer_args, (), type(self).model_fields)
        if found := sorted({*self.trainer_args} & {*LOSS}):
            raise Refusal(
                f"grpo.trainer_args.{found[0]}: it would have no effect, as the loss is made "
                "of the parts of algorithm=",
                allowed="algorithm=NAME, its parts, and their knobs",
                do="leave it out, and type algorithm=dr_grpo, algorithm/policy=cispo or "
                "algorithm.policy.epsilon_high=0.28, for example",
            )
        check_trainer_args(self.name, self.trainer_args, idle)
        if self.lora.dropout:
            raise Refusal(
                f"grpo.lora.dropout={self.lora.dropout}: GRPO trains without dropout",
                allowed="0.0: rollouts, policy and reference are one distribution at the start",
                do="type grpo.lora.dropout=0.0",
            )
        rounds = self.num_iterations
        if self.save_steps % rounds:
            raise Refusal(
                f"grpo.save_steps={self.save_steps}: a generation is used for {rounds} steps, "
                "and what is left of it is in no checkpoint",
                allowed=f"a multiple of grpo.num_iterations={rounds}",
                do=f"type grpo.save_steps={self.save_steps * rounds}",
            )

    def run(self, job: Job) -> Metrics:
        from mllmrec.training.grpo import run_grpo

        for line in cautions(job.groups["algorithm"], self.num_iterations):
            log.warning("%s", line)
        return run_grpo(self, job, self.name)
