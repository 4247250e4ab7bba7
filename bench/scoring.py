"""Answers that share their prompt, in one forward and backward, against a sequence for each.

    python bench/scoring.py [--shape tiny|mid|both] [--repeats N] [--threads N] [--quick]

Prompts of unequal length, each with another number of answers, of 1 to 18 tokens; one answer is a
beginning of another. The other side has every answer behind its whole prompt in a row of its own,
padded on the left (as TRL does) or on the right. Per-token log-probabilities must agree within 1e-5
and gradients of all weights within 1e-5 (relative L2), in float32; then forward and backward of
both sides are timed.
"""

import argparse
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from _claims import Claim, faster, options, record, rounds, shapes
from _measure import interleaved
from _setup import OURS, STOCK, Questions, Setup
from torch import Tensor

from mllmrec.scoring.packed import token_logps
from mllmrec.scoring.trie import pack

TOLERANCE = 1e-5
HISTORIES = (14, 6, 11, 9)  # items of a prompt's history
SIZES = (10, 3, 8, 5)  # its answers


def ragged(setup: Setup, quick: bool) -> Questions:
    """One sample a history; the first answer of each is cut to one token, the last prolongs one."""
    sizes = zip((2, 1), (4, 3), strict=True) if quick else zip(HISTORIES, SIZES, strict=True)
    parts = [setup.questions(1, history, candidates) for history, candidates in sizes]
    joined = Questions(*(list(chain(*column)) for column in zip(*parts, strict=True)))
    for answers in joined.answers:
        answers[0] = answers[0][:1]
        answers[-1] = answers[1] + answers[1][:2]
    return joined


def shared(model: Any, asked: Questions) -> Tensor:
    rows = [pack(*pair) for pair in zip(asked.prompts, asked.answers, strict=True)]
    return token_logps(model, rows).logps


def plain(model: Any, asked: Questions, side: Literal["left", "right"]) -> Tensor:
    """Log-probabilities of the answers' tokens; padding is masked, and takes no position."""
    pairs = [(p, a) for p, these in zip(asked.prompts, asked.answers, strict=True) for a in these]
    width = max(len(p) + len(a) for p, a in pairs)
    ids, mask = np.zeros((2, len(pairs), width), dtype=np.int64)
    begins = []
    for row, (prompt, answer) in enumerate(pairs):
        size = len(prompt) + len(answer)
        start = width - size if side == "left" else 0
        ids[row, start : start + size], mask[row, start : start + size] = [*prompt, *answer], 1
        begins.append(start + len(prompt))
    given, seen = torch.from_numpy(ids), torch.from_numpy(mask)
    positions = (seen.cumsum(1) - 1).clamp(min=0)
    hidden = model.model(
        input_ids=given, attention_mask=seen, position_ids=positions, use_cache=False
    ).last_hidden_state
    rows = np.repeat(np.arange(len(pairs)), [len(answer) for _, answer in pairs])
    columns = np.concatenate(
        [b + np.arange(len(a)) for b, (_, a) in zip(begins, pairs, strict=True)]
    )
    logps = model.lm_head(hidden[rows, columns - 1]).float().log_softmax(-1)
    return logps.gather(-1, given[rows, columns][:, None])[:, 0]


def gradient(model: Any, logps: Tensor) -> Tensor:
    model.zero_grad()
    weights = torch.randn(len(logps), generator=torch.Generator().manual_seed(0))
    (logps * weights).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def claims_of(name: str, args: argparse.Namespace) -> list[Claim]:
    setup = Setup(name)
    asked = ragged(setup, args.quick)
    if name == "mid":
        asked = asked.first(2)  # all of them as rows of their own would take 13 GB
    mine, stock = setup.model(OURS).train(), setup.model(STOCK).train()
    found = shared(mine, asked)
    ours = gradient(mine, found)
    sides = {"ours": lambda: gradient(mine, shared(mine, asked))}
    apart: dict[str, dict[str, float]] = {}
    for side in ("left", "right"):
        expected = plain(stock, asked, side)
        theirs = gradient(stock, expected)
        apart[side] = {
            "log-probabilities apart": (found - expected).abs().max().item(),
            "gradients apart": ((ours - theirs).norm() / theirs.norm()).item(),
        }
        sides[side] = partial(lambda s: gradient(stock, plain(stock, asked, s)), side)
    taken = interleaved(sides, rounds(name, args))
    return [
        faster(
            f"{name}: forward and backward of {sum(map(len, asked.answers))} answers to "
            f"{len(asked.prompts)} prompts, against rows padded on the {side}",
            taken["ours"],
            taken[side],
            equal=all(value <= TOLERANCE for value in apart[side].values()),
            figures=apart[side],
        )
        for side in apart
    ]


def main() -> None:
    args = options(__doc__).parse_args()
    torch.set_num_threads(args.threads)
    record(__file__, [claim for name in shapes(args) for claim in claims_of(name, args)], args)


if __name__ == "__main__":
    main()
