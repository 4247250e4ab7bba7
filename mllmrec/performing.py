"""What this process and a worker do alike: make torch ready, and run the verb of a stage."""

import warnings

from mllmrec.errors import Refusal
from mllmrec.stage.base import Job, Metrics, Stage

LACK = ("can't allocate memory", "cannot allocate memory", "out of memory")  # as torch says it


def perform(stage: Stage, job: Job) -> Metrics:
    """Run a stage, and say in our words where memory did not suffice.

    Raises:
        Refusal: it did not; or what the stage itself refuses.
    """
    try:
        return stage.run(job)
    except (RuntimeError, MemoryError) as error:  # torch's own kind is a RuntimeError
        if not is_lack_of_memory(error):
            raise
        raise lack_of_memory(stage, error) from error


def is_lack_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in LACK)


def lack_of_memory(stage: Stage, error: BaseException) -> Refusal:
    """What to lower, with a value to begin with."""
    said = " ".join(str(error).split())[:200] or type(error).__name__
    knob = {"rank": "evaluate", "consistency": "assess"}.get(stage.name, stage.name)
    budget: int | None = getattr(stage, "tokens_per_batch", None)
    if budget is None:
        do = "type a smaller backbone=, or backbone.dtype=bfloat16"
    else:
        do = f"type {knob}.tokens_per_batch={max(1, budget // 2)} (it is {budget})"
        if getattr(stage, "gradient_checkpointing", None) is False:
            do += f", {knob}.gradient_checkpointing=true,"
        do += " or a smaller prepare.history_length, which shortens the longest prompt"
    return Refusal(
        f"{stage.label}: out of memory ({said})",
        allowed="what fits beside the model; tokens_per_batch bounds what is held of a step at "
        "once, one prompt at least",
        do=do,
    )


def ready_torch(threads: int | None) -> None:
    """Fix the number of threads, and quiet what the libraries below say of themselves.

    Results are the same bytes only at the same number of threads.
    """
    import torch
    from transformers.utils import logging as transformers_logging

    if threads is not None:
        torch.set_num_threads(threads)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    # transformers renames an argument that TRL still uses; neither is ours or the user's to mend
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*deprecated.*")
