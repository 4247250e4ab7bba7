"""What every training run shares: arguments, checkpoints that survive a kill, and what is told."""

import logging
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from mllmrec import ranks
from mllmrec.artifacts import write_json, write_times
from mllmrec.errors import Refusal
from mllmrec.progress import lasting
from mllmrec.seeds import seed_for
from mllmrec.stage.base import Job
from mllmrec.training.adapter import save_adapter
from mllmrec.training.clock import Clock
from mllmrec.training.inflation import NDCG, summary
from mllmrec.training.options import Optimisation, ProbeOptions
from mllmrec.training.rehearsal import Rehearsal
from mllmrec.training.times import TIMES, course

log = logging.getLogger(__name__)

WHOLE = "whole"  # a marker within a checkpoint, written after everything else of it
TOKENS = "tokens"  # what a policy has read with gradients, from the first step on
# Of a log entry, what another run of the same command would have otherwise.
VOLATILE = ("runtime", "per_second", "step_time", "total_flos", "epoch", "train_loss", *TIMES)


def arguments(
    kind: type, options: Optimisation, job: Job, label: str, rows: int = 1, **more: Any
) -> Any:
    """TRL's arguments of this kind, from our knobs; a sample comes to so many ``rows``.

    Raises:
        Refusal: ``trainer_args`` holds a name or a value that TRL does not take.
    """
    on_gpu = torch.cuda.is_available()
    known: dict[str, Any] = {
        "output_dir": str(job.scratch / "checkpoints"),
        "seed": seed_for(job.seed, label),
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": options.lr_scheduler_type,
        "warmup_steps": options.warmup_steps,
        "weight_decay": options.weight_decay,
        "adam_beta2": options.adam_beta2,
        "max_grad_norm": options.max_grad_norm,
        "per_device_train_batch_size": options.batch_size * rows,
        "gradient_accumulation_steps": 1,  # a trainer takes its step in parts by itself
        "num_train_epochs": options.epochs or 1,
        "max_steps": options.max_steps or -1,
        "gradient_checkpointing": options.gradient_checkpointing,
        "bf16": on_gpu,
        "use_cpu": not on_gpu,
        "save_strategy": "steps" if ranks.is_main() else "no",
        "save_steps": options.save_steps,
        "save_total_limit": 2,
        "logging_steps": options.logging_steps,
        "report_to": [],
        "disable_tqdm": True,
        **more,
    }
    do = f"type {label}.trainer_args={{}} to leave them out"
    if own := sorted(known.keys() & options.trainer_args.keys()):
        raise Refusal(
            f"{label}.trainer_args={options.trainer_args}: {', '.join(own)} are set elsewhere",
            allowed=f"fields of TRL's {kind.__name__} that are no knobs of {label} themselves",
            do=do,
        )
    try:
        made = kind(**known, **options.trainer_args)
    except (TypeError, ValueError) as error:
        raise Refusal(
            f"{label}.trainer_args={options.trainer_args}: {error}",
            allowed=f"the fields of TRL's {kind.__name__}",
            do=do,
        ) from error
    made._n_gpu = min(made.n_gpu, 1)  # one process, one device: several would be split in secret
    return made


class Follow(TrainerCallback):
    """Sends metrics to tracking, shows progress, and marks a checkpoint once it is whole."""

    def __init__(self, job: Job, label: str) -> None:
        self.job, self.label = job, label
        self.said = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began, self.first = time.monotonic(), state.global_step
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self.label,
            unit="step",
            disable=not sys.stderr.isatty(),
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        numbers = {name: float(v) for name, v in (logs or {}).items() if isinstance(v, int | float)}
        self.job.log(numbers, state.global_step)
        shown = {name: numbers[name] for name in ("loss", "reward") if name in numbers}
        self.bar.set_postfix(shown)
        if self.bar.disable and time.monotonic() - self.said > 15:
            self.said = time.monotonic()
            told = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
            at = f"step {state.global_step} of {state.max_steps}"
            log.info("%s: %s, %s%s", self.label, at, told, self.left(state))

    def left(self, state: Any) -> str:
        """The time that the other steps take, if they go as those of this run did."""
        each = (time.monotonic() - self.began) / max(state.global_step - self.first, 1)
        others = state.max_steps - state.global_step
        return f", {lasting(each * others)} left" if others else ""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()


def newest_whole(checkpoints: Path) -> Path | None:
    """The last checkpoint that was written to its end, as the first of the ranks finds it."""
    found = whole_ones(checkpoints) if ranks.is_main() else []
    return ranks.gathered(found[-1] if found else None)[0]


def whole_ones(checkpoints: Path) -> list[Path]:
    """The checkpoints that were written to their end; those that were not are removed."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    for path in found:
        if not (path / WHOLE).exists():
            log.info("leaving out %s: its writing was interrupted", path.name)
            shutil.rmtree(path)
    return [path for path in found if path.exists()]


def train(trainer: Trainer, job: Job, label: str) -> dict[str, float]:
    """Train to the end, from the newest whole checkpoint if there is one.

    ``history.json`` keeps every number by its step; a resumed run writes the same file. Times are
    kept apart, for the manifest.

    Returns:
        The last value of every number; ``start`` and ``end`` of the reward and of the probe.
    """
    for printer in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printer)
    trainer.callback_handler.callbacks.insert(0, Clock())  # so that it stops before others work
    trainer.add_callback(Follow(job, label))
    trainer.add_callback(Rehearsal(trainer, label))
    go_on(trainer, newest_whole(job.scratch / "checkpoints"), label)
    ranks.check_alike(trainer.model.parameters())
    history = [kept(entry) for entry in trainer.state.log_history]
    history = [entry for entry in history if len(entry) > 1]  # more than the step
    if ranks.is_main():
        write_json(job.out / "history.json", history)
        write_times(job.scratch, course(trainer.state.log_history))
    last = {name: value for entry in history for name, value in entry.items() if name != "step"}
    if looks := [entry for entry in history if NDCG in entry]:
        log.info("%s: %s", label, summary(looks))
    found = trend(history)
    return {"steps": float(trainer.state.global_step), **last, **found}


def go_on(trainer: Trainer, checkpoint: Path | None, label: str) -> None:
    """Train from a checkpoint to the last step, or from the beginning.

    A checkpoint of the last step is only loaded: asked to train on, transformers would take one
    step more.
    """
    if checkpoint is None:
        trainer.train()
        return
    log.info("%s: going on from step %s", label, checkpoint.name.split("-")[1])
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    if state.global_step < state.max_steps and not is_over(trainer, state):
        trainer.train(resume_from_checkpoint=str(checkpoint))
    else:
        trainer._load_from_checkpoint(str(checkpoint))
        trainer.state = state


def is_over(trainer: Trainer, state: TrainerState) -> bool:
    """Whether a callback had ended the run before its last step."""
    callbacks = trainer.callback_handler.callbacks
    return any(one.is_over(state) for one in callbacks if hasattr(one, "is_over"))


def kept(entry: dict[str, Any]) -> dict[str, float]:
    """The numbers of a log entry by name, but for times and what a resumed run counts anew."""
    return {
        name: float(value)
        for name, value in sorted(entry.items())
        if isinstance(value, int | float) and not any(word in name for word in VOLATILE)
    }


def last_of(history: Sequence[Mapping[str, float]], name: str) -> float:
    """The last value that was logged by a name; 0 where none was."""
    return next((float(entry[name]) for entry in reversed(history) if name in entry), 0.0)


def trend(history: list[dict[str, float]]) -> dict[str, float]:
    """Means over the first and the last tenth of what was logged of the reward and the probe."""
    found = {}
    for name in ("reward", "probe/ndcg@5"):
        values = [entry[name] for entry in history if name in entry]
        few = -(-len(values) // 10)
        if values:
            found[f"{name}/start"] = sum(values[:few]) / few
            found[f"{name}/end"] = sum(values[-few:]) / few
    return found


def publish_adapter(model: Any, probe: ProbeOptions | None, job: Job) -> None:
    """Leave the adapter in ``job.out``: the one that did best on the probe, or the last one."""
    if not ranks.is_main():
        return
    best = job.scratch / "best"
    if probe and probe.keep == "best":
        shutil.copytree(best / "adapter", job.out, dirs_exist_ok=True)
    else:
        save_adapter(model, job.out)
    if probe:
        shutil.copy(best / "best.json", job.out)
