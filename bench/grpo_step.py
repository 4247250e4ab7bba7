"""A GRPO step in which prompts are computed once, against TRL's own trainer.

    python bench/grpo_step.py [--shape tiny|mid|both] [--repeats N] [--threads N] [--quick]

4 prompts of about 512 tokens with 10 candidates, groups of 8, LoRA of rank 16 on all linear
layers, β 0.05, the loss of algorithm=grpo, completions up to the longest answer, float32. First
the same draws go through both: losses and gradients must agree. Then whole optimiser steps by
turns, each side in a process of its own: TRL with its 32 rows at once and as 4 × 8 rows, of which
the faster counts; ours with rollout enumerate (also with the reference's scores kept, and with one
prompt at a time in memory) and sample. TRL writes its completions by its stock sampling; no side
suppresses the end of turn, which random weights write early in some 2 % of completions. Last the
peak of memory in use during a step; its goal is for sides with as many prompts in memory at once.
"""

import argparse
from collections import defaultdict
from contextlib import ExitStack
from statistics import median
from typing import Any

import torch
from _claims import Claim, faster, options, record, rounds, shapes
from _grpo import PROMPTS, SIDES, take_steps, trainer_of
from _measure import Timing, beside
from _setup import HISTORY, Questions, Setup
from transformers import TrainerCallback

TOLERANCE = 1e-4  # of gradients, in relative L2
LOSS_TOLERANCE = 1e-6
GOALS = {"enumerate": 8.0, "sample": 4.5}
MEMORY_GOAL = 4.0
WHOLE, PARTS = "TRL, 32 rows at once", "TRL, 4 times 8 rows"
OPPONENTS = {"tiny": [WHOLE, PARTS], "mid": [PARTS]}  # mid with all rows at once takes 13 GB
CHECKED = "enumerate", "enumerate, a prompt at a time", "sample"
ALIKE = {  # as many prompts in memory at once
    ("enumerate", WHOLE),
    ("sample", WHOLE),
    ("enumerate, a prompt at a time", PARTS),
}

Drawn = dict[tuple[int, ...], list[list[int]]]  # by prompt, the completions of its group


class First(TrainerCallback):
    """The gradient of the first step."""

    def on_pre_optimizer_step(self, *args: Any, model: Any = None, **_: Any) -> None:
        self.gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def first_step(name: str, setup: Setup, asked: Questions, drawn: Drawn) -> tuple[float, Any]:
    """Loss and gradient; completions come from ``drawn``, or go there where it is empty."""
    losses = []

    class Watched:
        def roll(self, samples: Any, draws: int) -> Any:
            groups = super().roll(samples, draws)
            for sample, group in zip(samples, groups, strict=True):
                drawn[tuple(self.prompt(sample))] = [list(tokens) for tokens in group]
            return groups

        def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
            left = {key: iter(group) for key, group in drawn.items()}
            return [next(left[tuple(ids)]) for ids in prompt_ids], None

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            losses.append(loss.item())
            return loss

    trainer = trainer_of(SIDES[name], setup, asked, Watched, max_steps=1, max_grad_norm=0.0)
    trainer.add_callback(first := First())
    trainer.train()
    return sum(losses), first.gradient


def agreement(setup: Setup, asked: Questions, ours: str) -> tuple[bool, dict[str, float]]:
    """Whether both sides have one loss and one gradient for what ours draws."""
    drawn: Drawn = {}
    loss, gradient = first_step(ours, setup, asked, drawn)
    assert len(drawn) == len(asked.prompts)
    other, expected = first_step(OPPONENTS[setup.shape][0], setup, asked, drawn)
    apart = float((gradient - expected).norm() / expected.norm())
    told = {"loss": loss, "losses apart": abs(loss - other), "gradients apart": apart}
    return abs(loss - other) < LOSS_TOLERANCE and apart < TOLERANCE, told


def times(
    names: list[str], shape: str, args: argparse.Namespace, history: int
) -> dict[str, Timing]:
    """Medians of steps by turns, after one of each that is not counted."""
    taken = defaultdict(list)
    with ExitStack() as stack:
        pipes = {
            name: stack.enter_context(beside(take_steps, name, shape, args.threads, history))
            for name in names
        }
        for pipe in pipes.values():
            pipe.send(False)
        for number in range(rounds(shape, args) + 1):
            for name in names[:: 1 if number % 2 else -1]:
                pipes[name].send("time")
                taken[name].append(pipes[name].recv())
    return {
        name: Timing(*map(median, zip(*steps[1:], strict=True))) for name, steps in taken.items()
    }


def peak(name: str, shape: str, args: argparse.Namespace, history: int) -> float:
    """MB that the second step has in use above the level before it."""
    with beside(take_steps, name, shape, args.threads, history) as pipe:
        for word in (True, "time", "memory"):
            pipe.send(word)
        pipe.recv()
        return pipe.recv()


def claims_of(shape: str, args: argparse.Namespace) -> list[Claim]:
    history = 2 if args.quick else HISTORY
    setup = Setup(shape, ("stage=grpo",))
    asked = setup.questions(PROMPTS, history)
    opponents = OPPONENTS[shape]
    told = {name: agreement(setup, asked, name) for name in CHECKED}
    told["enumerate, reference kept"] = told["enumerate"]
    taken = times([*opponents, *told], shape, args, history)
    memory = {name: peak(name, shape, args, history) for name in [*opponents, *told]}
    best = min(opponents, key=lambda name: taken[name].cpu)
    is_tiny = shape == "tiny"
    made = [
        faster(
            f"{shape}: a step, {name}, against {best}",
            taken[name],
            taken[best],
            goal=GOALS.get(name) if is_tiny else None,
            equal=equal,
            figures=figures,
        )
        for name, (equal, figures) in told.items()
    ]
    made += [
        Claim(
            claim=f"{shape}: memory of a step, {name}, against {other}",
            ratio=memory[other] / memory[name],
            goal=MEMORY_GOAL if is_tiny and (name, other) in ALIKE else None,
            figures={"ours, MB": memory[name], "theirs, MB": memory[other]},
        )
        for name in told
        for other in opponents
    ]
    return made


def main() -> None:
    args = options(__doc__, repeats=5).parse_args()
    torch.set_num_threads(args.threads)
    record(__file__, [claim for name in shapes(args) for claim in claims_of(name, args)], args)


if __name__ == "__main__":
    main()
