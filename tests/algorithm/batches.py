"""Batches by hand: rollouts of a step whose every number a reader can check."""

from collections.abc import Mapping, Sequence

import torch

from mllmrec.algorithm.batch import Batch, Context, Rows, Sample, Terms

ANSWERS = {"a": (1, 2, 9), "b": (1, 3, 9), "c": (4, 9), "d": (5, 6, 7, 9)}
VECTORS = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (0.6, 0.8), "d": (-1.0, 0.0)}


def branching(beginning: tuple[int, ...]) -> int:
    size = len(beginning)
    return len({t[size] for t in ANSWERS.values() if t[:size] == beginning and len(t) > size})


def vectors(items: Sequence[str]) -> torch.Tensor:
    return torch.tensor([VECTORS.get(item, (0.0, 0.0)) for item in items])


def nothing_more(count: int, round: int) -> Batch:
    raise AssertionError("no other prompts were expected to be asked for")


def context(**over: object) -> Context:
    made: dict[str, object] = {
        "answers": ANSWERS,
        "seed": 7,
        "max_steps": 10,
        "num_generations": 4,
        "vectors": vectors,
        "branching": branching,
        "pay": lambda sample, tokens: float(tokens == ANSWERS[sample.target]),
        "more": nothing_more,
    }
    return Context(**{**made, **over})  # type: ignore[arg-type]


def batch(
    groups: Mapping[str, Sequence[str | None]],
    *,
    rewards: Sequence[float] | None = None,
    advantages: Sequence[float] | None = None,
    sums: Sequence[float] | None = None,
    chance: Sequence[float] | None = None,
    step: int = 0,
    **over: object,
) -> Batch:
    """A prompt for each target, named ``x-<target>``, with the items that its rollouts name.

    None is a text of one token that names none. ``sums`` are the log-probabilities of whole
    completions (all on the first token; −1 each where not given).
    """
    samples = [
        Sample(id=f"x-{t}", prompt=(8, n), history=("a", "b"), target=t, candidates=tuple(ANSWERS))
        for n, t in enumerate(groups)
    ]
    items = [item for group in groups.values() for item in group]
    completions = [(0,) if item is None else ANSWERS[item] for item in items]
    owner = [n for n, group in enumerate(groups.values()) for _ in group]
    wide = max(map(len, completions))
    mask = torch.tensor([[float(t < len(c)) for t in range(wide)] for c in completions])
    old = torch.zeros(len(items), wide)
    old[:, 0] = torch.tensor(sums if sums is not None else [-1.0] * len(items))
    hits = torch.tensor([i == samples[n].target for i, n in zip(items, owner, strict=True)])
    return Batch(
        step=step,
        context=context(**over),
        samples=samples,
        owner=torch.tensor(owner),
        completions=completions,
        items=items,
        spans=[[(i, 0, len(c))] for i, c in zip(items, completions, strict=True)],
        rewards=hits.float() if rewards is None else torch.tensor(rewards),
        hits=hits,
        mask=mask,
        old=old,
        advantages=torch.tensor(advantages or [0.0] * len(items)),
        chance=None if chance is None else torch.tensor(chance),
    )


def terms(
    made: Batch,
    logps: torch.Tensor,
    *,
    beta: float = 0.0,
    ref: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
    longest: int = 4,
    **over: torch.Tensor,
) -> Terms:
    """The terms of a loss of these rows under the policy's ``logps`` (B, T)."""
    rows = Rows(
        owner=made.owner,
        logps=logps,
        old=made.old,
        ref=ref,
        mask=made.mask,
        weights=made.mask if weights is None else weights * made.mask,
    )
    return Terms(batch=made, rows=rows, beta=beta, longest=longest, **over)
