"""Stages ``sft`` and ``sft_continued``: supervised fine-tuning with an adapter."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mllmrec.artifacts import Artifact
from mllmrec.dataset.candidates import FULL
from mllmrec.errors import Refusal
from mllmrec.stage import adopt
from mllmrec.stage.base import Job, Metrics, Stage, check_drawn, known
from mllmrec.stage.pretrain import backbone_of
from mllmrec.training.options import Seed, SftOptions, check_trainer_args

if TYPE_CHECKING:
    from mllmrec.schema import Config

INJECTED = ("prompt", "completion")  # where rationales may go in SFT
# Fields of TRL's SFTConfig that would do nothing here: rows and their loss are our own.
IDLE = (
    *("loss_type", "packing", "padding_free", "completion_only_loss", "assistant_only_loss"),
    *("dataset_text_field", "eos_token", "pad_to_multiple_of", "use_liger_kernel"),
)


class Sft(Stage, SftOptions):
    """Candidate prompts with their answers; ``adopt`` takes an adapter made elsewhere instead."""

    name: ClassVar[str] = "sft"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words")
    needs_torch: ClassVar[bool] = True

    adopt: Path | None

    @property
    def spreads(self) -> bool:
        return self.adopt is None

    def inputs(self, config: "Config") -> dict[str, Stage]:
        if self.adopt:
            return {}
        return {
            **known(config),
            **backbone_of(config),
            **rationales(self, config, INJECTED),
        }

    def check(self, config: "Config") -> None:
        check_probe(self, config)
        check_trainer_args(self.name, self.trainer_args, IDLE, type(self).model_fields)

    def effective(self, config: "Config") -> dict[str, Any]:
        if self.adopt:
            return adopt.identity(self.adopt, "sft")
        return with_place(super().effective(config), config, "rationales" in self.inputs(config))

    def run(self, job: Job) -> Metrics:
        from mllmrec.training.adapter import check_adapter
        from mllmrec.training.sft import run_sft

        if self.adopt:
            return adopt.take(self.adopt, job.out, check_adapter)
        return run_sft(self, job, self.name)


class SftContinued(Stage, SftOptions):
    """More SFT on the merged model, for as many optimiser steps as GRPO takes.

    The control that says whether GRPO is better training or only more of it. With ``match=tokens``
    it stands on the GRPO model instead, and takes the fewest steps in which it reads at least as
    many tokens as that one did (its manifest's metric ``tokens``).
    """

    name: ClassVar[str] = "sft_continued"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words")
    needs_torch: ClassVar[bool] = True

    match: Literal["steps", "tokens"]
    seed: Seed

    @property
    def spreads(self) -> bool:
        return True

    def inputs(self, config: "Config") -> dict[str, Stage]:
        stages = config.stages
        return {
            **known(config),
            "model": stages["merge"],
            **({"grpo": stages["grpo"]} if self.match == "tokens" else {}),
            **rationales(self, config, INJECTED),
        }

    def effective(self, config: "Config") -> dict[str, Any]:
        found = with_place(super().effective(config), config, "rationales" in self.inputs(config))
        idle = ("match",) if self.match == "steps" else ("max_steps", "epochs")
        return found | {"knobs": {k: v for k, v in found["knobs"].items() if k not in idle}}

    def check(self, config: "Config") -> None:
        check_probe(self, config)
        check_trainer_args(self.name, self.trainer_args, IDLE, type(self).model_fields)

    def check_typed(self, names: frozenset[str]) -> None:
        if self.match == "tokens" and (idle := sorted(names & {"max_steps", "epochs"})):
            raise Refusal(
                f"sft_continued.{idle[0]} has no effect with sft_continued.match=tokens",
                allowed="steps by the tokens that GRPO read, or as many as you say",
                do=f"leave sft_continued.{idle[0]} out, or type sft_continued.match=steps",
            )

    def run(self, job: Job) -> Metrics:
        from mllmrec.training.sft import run_sft

        tokens = tokens_of(job.inputs["grpo"]) if self.match == "tokens" else None
        return run_sft(self, job, self.name, tokens)


def tokens_of(grpo: Path) -> float:
    """The tokens that the policy of a GRPO model read, by its manifest.

    Raises:
        Refusal: it was trained by a version that did not count them.
    """
    found: float | None = Artifact(folder=grpo).manifest["metrics"].get("tokens")
    if found is None:
        raise Refusal(
            f"sft_continued.match=tokens: {grpo} does not say how many tokens GRPO read",
            allowed="a GRPO model of this version, which counts them",
            do="type force=[grpo], or sft_continued.match=steps",
        )
    return found


def check_probe(stage: Any, config: "Config") -> None:
    """Refuse a probe under a protocol that is not drawn, but for the whole catalogue."""
    if stage.probe and stage.probe.protocol != FULL:
        check_drawn(f"{stage.name}.probe.protocol", [stage.probe.protocol], config)


def rationales(stage: Any, config: "Config", places: Collection[str]) -> dict[str, Stage]:
    """The stage that chose the rationales, where any sample is to carry one in these places."""
    carried = stage.cot_prob and config.prompt.inject in places
    return {"rationales": config.stages["assess"]} if carried else {}


def with_place(found: dict[str, Any], config: "Config", is_carried: bool) -> dict[str, Any]:
    """Effective knobs, with where rationales go; a share of them that goes nowhere is none.

    With ``inject=completion`` a thought comes first, if only an empty one, whoever carries one.
    """
    if is_carried or config.prompt.inject == "completion":
        found["groups"]["prompt"]["inject"] = config.prompt.inject
    if not is_carried:
        found["knobs"]["cot_prob"] = 0.0
    return found
