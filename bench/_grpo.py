"""GRPO trainers of both sides, alike in all but the trainer, and a process that takes steps."""

import tempfile
import time
import warnings
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import torch
from _measure import Peak, Timing, give_back_at_once
from _setup import OURS, STOCK, Questions, Setup
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from mllmrec.algorithm.rollout.sample import Sample
from mllmrec.training.known import Known
from mllmrec.training.reference import ReferenceScores
from mllmrec.training.rollouts import Enumerating, Sampling

PROMPTS, GROUP = 4, 8
warnings.filterwarnings("ignore", category=FutureWarning)  # TRL's words for what gets new names


@dataclass(frozen=True, kw_only=True)
class Side:
    """A trainer and how it takes a step of ``PROMPTS × GROUP`` rows."""

    kind: type
    parts: int = 1  # micro-batches, each with its own forward and backward
    is_kept: bool = False  # whether the reference's scores stay from one epoch to the next
    tokens_per_batch: int | None = None  # None: the default of the stage grpo

    @property
    def is_ours(self) -> bool:
        return self.kind is not GRPOTrainer


SIDES = {
    "TRL, 32 rows at once": Side(kind=GRPOTrainer),
    "TRL, 4 times 8 rows": Side(kind=GRPOTrainer, parts=4),
    "enumerate": Side(kind=Enumerating),
    "enumerate, reference kept": Side(kind=Enumerating, is_kept=True),
    "enumerate, a prompt at a time": Side(kind=Enumerating, tokens_per_batch=1),
    "sample": Side(kind=Sampling),
}


def reward(completion_ids: Any, **_: Any) -> list[float]:
    """Something that differs within every group and costs nothing."""
    return [sum(ids) % 7 / 7 for ids in completion_ids]


def rows_of(asked: Questions) -> list[dict[str, Any]]:
    columns = zip(asked.texts, asked.candidates, strict=True)
    return [
        {
            "sample_id": str(number),
            "prompt": [{"role": "user", "content": text}],
            "candidates": candidates,
        }
        for number, (text, candidates) in enumerate(columns)
    ]


def settings_of(side: Side, setup: Setup, asked: Questions, longest: int) -> dict[str, Any]:
    """TRL's arguments, the same for every side but for the parts of a step."""
    return {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": len(asked.prompts) * GROUP // side.parts,
        "gradient_accumulation_steps": side.parts,
        "num_generations": GROUP,
        "max_completion_length": longest,
        "beta": 0.05,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "max_steps": 1000,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "shuffle_dataset": False,
        "disable_dropout": True,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": not torch.cuda.is_available(),
        "chat_template_kwargs": {"enable_thinking": False},
        **setup.config.groups["algorithm"].trainer_args(vllm=True),
    }


def trainer_of(
    side: Side,
    setup: Setup,
    asked: Questions,
    mix: type | None = None,
    model: Any = None,
    **more: Any,
) -> Any:
    """The trainer on the same prompts, random model and adapter as every other side's.

    ``mix`` is a class to put before the trainer's own; ``model`` takes the place of the setup's.
    """
    set_seed(0)
    model = model or setup.model(OURS if side.is_ours else STOCK)
    answers = {
        item: answer
        for shown, these in zip(asked.candidates, asked.answers, strict=True)
        for item, answer in zip(shown, these, strict=True)
    }
    settings = settings_of(side, setup, asked, max(map(len, answers.values()))) | more
    adapter = LoraConfig(
        r=16,
        lora_alpha=32,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        init_lora_weights=False,  # random in both factors, so that nothing is zero at the start
    )
    kind = type(side.kind.__name__, (mix, side.kind), {}) if mix else side.kind
    made = kind(
        model=model,
        args=GRPOConfig(**settings),
        train_dataset=Dataset.from_list(rows_of(asked)),
        reward_funcs=reward,
        processing_class=setup.tokenizer,
        peft_config=adapter,
    )
    made.remove_callback(PrinterCallback)
    if side.is_ours:
        made.prompts = {str(number): ids for number, ids in enumerate(asked.prompts)}
        algorithm = setup.config.algorithm
        if side.kind is Sampling:
            written = Sample(constraint=None, temperature=1.0, top_p=1.0)
            algorithm = algorithm.model_copy(update={"rollout": written})
        known = Known(answers, model.get_input_embeddings().weight)
        default = setup.config.stages["grpo"].tokens_per_batch
        made.compose(algorithm, known, lambda text, _: text, side.tokens_per_batch or default)
        made.kept = ReferenceScores() if side.is_kept else None
    return made


@dataclass
class Paced(TrainerCallback):
    """Takes a step whenever the pipe says so, and tells how long it took or what it held."""

    pipe: Connection
    peak: Peak = field(default_factory=Peak)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.asked = self.pipe.recv()
        if self.asked == "memory":
            self.peak.__enter__()
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        taken = Timing(time.process_time() - self.cpu, time.perf_counter() - self.wall)
        if self.asked == "memory":
            self.peak.__exit__()
            self.pipe.send(self.peak.mb)
        else:
            self.pipe.send(taken)


def take_steps(pipe: Connection, name: str, shape: str, threads: int, history: int) -> None:
    """What a process of one side does until it is ended."""
    torch.set_num_threads(threads)
    give_back = pipe.recv()
    if give_back:
        give_back_at_once()
    setup = Setup(shape, ("stage=grpo",))
    trainer = trainer_of(SIDES[name], setup, setup.questions(PROMPTS, history))
    trainer.add_callback(Paced(pipe))
    trainer.train()
