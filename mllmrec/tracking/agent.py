"""A W&B run that was chosen from outside, by a W&B agent or by who plays one."""

import os

from mllmrec.errors import Refusal

SWEEP = "WANDB_SWEEP_ID"
OUTSIDE = (SWEEP, "WANDB_RUN_ID")  # set by a W&B agent, or by who plays one


def is_chosen_outside() -> bool:
    """Whether the id of the W&B run is not ours to choose."""
    return any(os.environ.get(name) for name in OUTSIDE)


def refuse_multirun_under_agent() -> None:
    """Refuse ``-m`` in a process whose W&B run was chosen from outside: all jobs would share it.

    Raises:
        Refusal: WANDB_SWEEP_ID or WANDB_RUN_ID is set.
    """
    for name in OUTSIDE:
        if os.environ.get(name):
            raise Refusal(
                f"-m with {name}={os.environ[name]}: every job would log into that one run",
                allowed="one launch for each run of a W&B agent",
                do=f"leave -m out and let the agent choose the values, or type: unset {name}",
            )
