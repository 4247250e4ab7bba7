"""Stage ``pretrain``: build the backbone where it does not exist yet."""

from typing import TYPE_CHECKING, Any, ClassVar

from mllmrec.errors import Refusal
from mllmrec.stage.base import Job, Metrics, Stage, known
from mllmrec.training.options import PretrainOptions

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Pretrain(Stage, PretrainOptions):
    """Next-item text of the training interactions alone, all parameters, loss on every token."""

    name: ClassVar[str] = "pretrain"
    uses: ClassVar[tuple[str, ...]] = ("backbone", "prompt", "words")
    needs_torch: ClassVar[bool] = True

    @property
    def spreads(self) -> bool:
        return True

    def inputs(self, config: "Config") -> dict[str, Stage]:
        if not config.backbone.is_built:
            raise Refusal(
                "stage=pretrain: this backbone exists already, nothing is pre-trained",
                allowed="a backbone that is built on the spot: tiny",
                do="type backbone=tiny, or stage=sft to go on from this one",
            )
        return known(config)

    def effective(self, config: "Config") -> dict[str, Any]:
        effective = super().effective(config)
        effective["groups"]["backbone"].pop("lora_targets")  # no adapter is made here
        effective["groups"]["prompt"].pop("too_long")  # a rule for prompts, not for its rows
        return effective

    def run(self, job: Job) -> Metrics:
        from mllmrec.training.pretrain import run_pretrain

        return run_pretrain(self, job)


def backbone_of(config: "Config") -> dict[str, Stage]:
    """The stage that builds the backbone, or nothing where the backbone exists already."""
    return {"model": config.stages["pretrain"]} if config.backbone.is_built else {}
