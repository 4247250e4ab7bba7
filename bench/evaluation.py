"""Ranking candidates by the log-probability of their answers, against generating a list.

    python bench/evaluation.py [--shape tiny|mid|both] [--repeats N] [--threads N] [--quick]

Prompts of about 512 tokens, 10 candidates, answers of id and title, random weights, float32.
Checks that the scores are those of ten full sequences; then measures against the published loop
(one prompt at a time, greedy, up to 256 new tokens; also 60, which three lines take) and against
scoring ten full sequences. Further rows: answers of the id alone, and 10, 30 and 100 candidates.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from _claims import Claim, faster, options, record, rounds, shapes
from _measure import interleaved
from _setup import OURS, STOCK, Questions, Setup

from mllmrec.answer import parse
from mllmrec.scoring.packed import answer_logps
from mllmrec.scoring.trie import pack

TOLERANCE, TIE = 1e-3, 1e-4  # nats, of an answer's sum
PROMPTS = {"tiny": 8, "mid": 2}
GOALS = {256: 14.0, 60: 3.5, "naive": 6.0}

Scores = list[list[float]]


def ours(setup: Setup, model: Any, asked: Questions) -> Scores:
    budget = setup.config.stages["evaluate"].tokens_per_batch
    return answer_logps(model, asked.prompts, asked.answers, budget)


@torch.inference_mode()
def naive(model: Any, asked: Questions) -> Scores:
    """Every answer behind the whole prompt, those of a prompt as one batch padded on the right.

    A causal model never sees such padding, so no mask is needed and the kernels are the fused
    ones; the head is applied where an answer's token follows.
    """
    found = []
    for prompt, answers in zip(asked.prompts, asked.answers, strict=True):
        width = max(map(len, answers))
        padded = [[*answer, *[0] * (width - len(answer))] for answer in answers]
        tokens = torch.tensor(padded, device=model.device)
        ids = torch.cat([tokens.new_tensor(prompt).expand(len(answers), -1), tokens], dim=1)
        logits = model(input_ids=ids, logits_to_keep=width + 1, use_cache=False).logits[:, :-1]
        logps = logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0].cpu()
        lengths = torch.tensor([[len(answer)] for answer in answers])
        found.append(logps.where(torch.arange(width) < lengths, 0).double().sum(1).tolist())
    return found


@torch.inference_mode()
def generated(setup: Setup, model: Any, asked: Questions, tokens: int) -> list[str]:
    """The published loop: greedy, one prompt after the other, no end of turn before the limit."""
    end = setup.tokenizer.pad_token_id
    texts = []
    for prompt in asked.prompts:
        ids = torch.tensor([prompt], device=model.device)
        written = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            pad_token_id=end,
        )[0, len(prompt) :]
        assert len(written) == tokens
        texts.append(setup.tokenizer.decode(written, skip_special_tokens=True))
    return texts


def differences(found: Scores, expected: Scores) -> tuple[bool, float]:
    """Whether scores agree, and in ranking but for ties; and the largest difference."""
    largest, is_equal = 0.0, True
    for row, other in zip(map(np.array, found), map(np.array, expected), strict=True):
        largest = max(largest, float(abs(row - other).max()))
        order = (-row).argsort(kind="stable")
        is_equal &= bool((np.diff(other[order]) <= TIE).all())
    return is_equal and largest <= TOLERANCE, largest


def hit_rates(lists: Sequence[Sequence[str]], targets: Sequence[str]) -> str:
    rates = [
        sum(t in found[:k] for found, t in zip(lists, targets, strict=True)) / len(targets)
        for k in (1, 3)
    ]
    return "/".join(f"{rate:.2f}" for rate in rates)


def ranked(asked: Questions, scores: Scores) -> list[list[str]]:
    pairs = zip(asked.candidates, scores, strict=True)
    return [[row[place] for place in np.argsort(-np.array(found))] for row, found in pairs]


def named(texts: Sequence[str]) -> list[list[str]]:
    """The items that a generated list names, each once."""
    answers = [[parse(line) for line in text.splitlines()] for text in texts]
    return [list(dict.fromkeys(a.item_id for a in row if a)) for row in answers]


def against_generation(setup: Setup, asked: Questions, args: argparse.Namespace) -> list[Claim]:
    mine, stock = setup.model(OURS), setup.model(STOCK)
    scores = ours(setup, mine, asked)
    is_equal, largest = differences(scores, naive(stock, asked))
    lengths = (256, 60)
    last: dict[int, list[str]] = {}

    def published(tokens: int) -> None:
        last[tokens] = generated(setup, stock, asked, tokens)

    sides = {tokens: partial(published, tokens) for tokens in lengths}
    sides |= {"ours": partial(ours, setup, mine, asked), "naive": partial(naive, stock, asked)}
    is_tiny = setup.shape == "tiny"
    taken = interleaved(sides, rounds(setup.shape, args))
    made = [
        faster(
            f"{setup.shape}: against greedy generation of {tokens} tokens",
            taken["ours"],
            taken[tokens],
            per=len(asked.prompts),
            goal=GOALS[tokens] if is_tiny else None,
            figures={
                "ours, HR@1/3": hit_rates(ranked(asked, scores), asked.targets),
                "theirs, HR@1/3": hit_rates(named(last[tokens]), asked.targets),
            },
        )
        for tokens in lengths
    ]
    against = faster(
        f"{setup.shape}: against ten full sequences",
        taken["ours"],
        taken["naive"],
        per=len(asked.prompts),
        goal=GOALS["naive"] if is_tiny else None,
        equal=is_equal,
        figures=sizes(asked) | {"largest difference, nats": largest},
    )
    return [*made, against]


def id_alone(name: str, args: argparse.Namespace) -> list[Claim]:
    """Answers of the id alone, as one token an item and as many."""
    made = []
    for has_tokens in (True, False):
        overrides = "prompt.answer=id", f"backbone.item_tokens={str(has_tokens).lower()}"
        setup = Setup(name, overrides)
        asked = setup.questions(2 if args.quick else PROMPTS[name])
        mine, stock = setup.model(OURS), setup.model(STOCK)
        equal, largest = differences(ours(setup, mine, asked), naive(stock, asked))
        sides = {"ours": partial(ours, setup, mine, asked), "naive": partial(naive, stock, asked)}
        taken = interleaved(sides, rounds(name, args))
        told = "item tokens" if has_tokens else "plain text"
        made.append(
            faster(
                f"{name}: answers of the id alone, {told}, against ten full sequences",
                taken["ours"],
                taken["naive"],
                per=len(asked.prompts),
                equal=equal,
                figures=sizes(asked) | {"largest difference, nats": largest},
            )
        )
    return made


def by_candidates(setup: Setup, args: argparse.Namespace) -> list[Claim]:
    """Cost follows the tokens that differ: ms for 1,000 fed tokens at 10 candidates and at more."""
    counts = (10, 30) if args.quick else (10, 30, 100)
    model = setup.model(OURS)
    asked = {count: setup.questions(2, candidates=count) for count in counts}
    sides = {count: partial(ours, setup, model, asked[count]) for count in counts}
    taken = interleaved(sides, rounds(setup.shape, args))
    cost: dict[int, float] = {}
    made = []
    for count, timing in taken.items():
        told = sizes(asked[count])
        spent = timing.cpu * 1e3 / len(asked[count].prompts)
        cost[count] = spent / told["fed tokens"] * 1e3
        made.append(
            Claim(
                claim=f"{setup.shape}: cost of a fed token at 10 candidates by that at {count}",
                ratio=cost[10] / cost[count],
                figures={"ms CPU": spent, "ms CPU for 1,000 fed tokens": cost[count]} | told,
            )
        )
    return made


def sizes(asked: Questions) -> dict[str, float]:
    """Means over the prompts: what is fed, and what ten full sequences would feed."""
    pairs = [*zip(asked.prompts, asked.answers, strict=True)]
    rows = [pack(*pair) for pair in pairs]
    numbers = {
        "prompt tokens": [len(prompt) for prompt, _ in pairs],
        "fed tokens": [row.size for row in rows],
        "tokens of full sequences": [sum(len(p) + len(a) for a in these) for p, these in pairs],
    }
    return {name: float(np.mean(column)) for name, column in numbers.items()}


def main() -> None:
    args = options(__doc__).parse_args()
    torch.set_num_threads(args.threads)
    claims = []
    for name in shapes(args):
        setup = Setup(name)
        asked = setup.questions(2 if args.quick else PROMPTS[name])
        claims += against_generation(setup, asked, args)
        claims += id_alone(name, args)
        claims += by_candidates(setup, args)
    record(__file__, claims, args)


if __name__ == "__main__":
    main()
