"""Memory of ranking many candidates behind long prompts: bounded, whatever the number of samples.

    python bench/memory.py [--shape tiny|mid|both] [--quick]

Prompts of about 3,000 tokens with 100 candidates each, at the default tokens_per_batch. In fresh
processes: the peak of memory that `answer_logps` has in use above the level before it, for 4, 8
and 16 samples. Claims that it stays below a bound that is computed from the shape (``bound``), and
that 16 samples take no more than 10 % above what 4 take.
"""

from collections.abc import Callable
from functools import partial

import torch
from _claims import Claim, options, record, shapes
from _measure import MB, peak_memory
from _setup import OURS, Questions, Setup

from mllmrec.scoring.packed import answer_logps
from mllmrec.scoring.trie import pack

HISTORY, CANDIDATES = 62, 100
COUNTS = (4, 8, 16)
FLOAT = 4  # bytes


def scoring(shape: str, count: int, history: int, candidates: int) -> Callable[[], object]:
    torch.set_num_threads(1)
    setup = Setup(shape)
    asked = setup.questions(count, history, candidates)
    budget = setup.config.stages["evaluate"].tokens_per_batch
    score = partial(answer_logps, setup.model(OURS))
    score(asked.prompts[:1], asked.answers[:1], budget)
    return partial(score, asked.prompts, asked.answers, budget)


def bound(setup: Setup, asked: Questions) -> float:
    """MB that one batch can have in use; nothing in it depends on the number of samples.

    T tokens are fed: ``tokens_per_batch``, or one row that is longer. Of these A are nodes of
    tries, S those of one trie, behind P tokens of a prompt. A layer holds at most 8 copies of its
    input (residual, norm, queries, keys and values, before and after they are turned, output) and
    3 of the feed-forward's. Every trie has a bias, S × (P + S); the one at work has it once more
    for each head that shares keys, and once as a mask. The head's logits, A × vocabulary, come
    with two temporaries after the layers are gone.
    """
    shape = setup.config.backbone
    rows = [pack(*pair) for pair in zip(asked.prompts, asked.answers, strict=True)]
    fed = max(setup.config.stages["evaluate"].tokens_per_batch, *(row.size for row in rows))
    layer = fed * (8 * shape.hidden_size + 3 * shape.intermediate_size)
    sees = [[len(t.tokens) * (len(r.prompt) + len(t.tokens)) for t in r.tries] for r in rows]
    at_work = (1 + shape.heads // shape.kv_heads) * max(map(max, sees))
    head = 3 * max(row.nodes for row in rows) * (-(-len(setup.tokenizer) // 64) * 64)
    return FLOAT * (max(layer + at_work, head) + max(map(sum, sees))) / MB


def main() -> None:
    args = options(__doc__).parse_args()
    sizes = (4, 20) if args.quick else (HISTORY, CANDIDATES)
    claims = []
    for name in shapes(args):
        setup = Setup(name)
        asked = setup.questions(max(COUNTS), *sizes)
        limit = bound(setup, asked)
        counts = COUNTS[::2] if args.quick else COUNTS
        peak = {count: peak_memory(scoring, name, count, *sizes) for count in counts}
        figures = {f"{count} samples, MB": taken for count, taken in peak.items()}
        is_tiny = name == "tiny"
        if is_tiny:
            kept = peak_memory(scoring, name, counts[-1], *sizes, as_kept=True)
            figures["16 samples with what malloc keeps, MB"] = kept
        claims += [
            Claim(
                claim=f"{name}: the bound by the peak",
                ratio=limit / max(peak.values()),
                goal=1.0 if is_tiny else None,
                figures=figures | {"bound, MB": limit},
            ),
            Claim(
                claim=f"{name}: the peak of 4 samples by that of 16",
                ratio=peak[4] / peak[16],
                goal=1 / 1.1 if is_tiny else None,
                figures=figures,
            ),
        ]
    record(__file__, claims, args)


if __name__ == "__main__":
    main()
