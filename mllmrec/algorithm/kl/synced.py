"""The reference follows the policy, in jumps."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from mllmrec.algorithm.kl.base import Estimated
from mllmrec.errors import Refusal

if TYPE_CHECKING:
    from mllmrec.schema import Config


class Synced(Estimated):
    """KL(π ‖ π_ref) with π_ref the policy of ``every`` optimiser steps ago at most.

    It begins as the merged SFT model, and becomes a copy of the policy's adapter after each
    ``every`` steps: the hard update of TR-DPO, arXiv 2404.09656, and of TRL's ``sync_ref_model``
    with a mixup of 1. There is no mixup below 1: a mix of two low-rank updates B A is no update of
    that rank, and the mix of their factors is not the mix of the updates. The estimates are those
    of ``mllmrec/algorithm/kl/base.py``.
    """

    every: Annotated[int, Field(ge=1)]

    def check(self, config: "Config") -> None:
        steps = getattr(config.stages.get("grpo"), "max_steps", None)
        if steps is not None and self.every >= steps:
            raise Refusal(
                f"algorithm.kl.every={self.every}: the reference would never be replaced in"
                f" grpo.max_steps={steps}",
                allowed=f"1 to {steps - 1}" if steps > 1 else "none with so few steps",
                do="type algorithm.kl.every=N below that, or algorithm/kl=frozen",
            )

    def trl(self) -> dict[str, Any]:
        return {}  # TRL's sync_ref_model takes no adapters
