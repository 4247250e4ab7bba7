"""Drawing from the scores of all answers is what writing them token by token draws.

    python bench/draws.py [--draws N] [--quick]

One prompt with 6 candidates, random weights that are sharpened so that the candidates are far from
equally probable. The exact distribution of a decoder that is held to the trie of the answers is
computed apart, token by token, by a plain forward. Claims that the draws of rollout enumerate and
of rollout sample (with constraint=token) both follow it, and each other, by χ² at the level 0.001;
and that the test would tell: draws from whole answers' probabilities (constraint=sequence) do not.
The ratio is the p-value, or what is allowed by the p-value where the draws must differ.
"""

import argparse
from typing import Any

import numpy as np
import torch
from _claims import Claim, options, record
from _grpo import GROUP, SIDES, rows_of, trainer_of
from _setup import OURS, STOCK, Questions, Setup
from scipy.stats import chi2_contingency, chisquare

LEVEL = 0.001
CANDIDATES = 6
SHARPER = 6.0


def sharpened(setup: Setup, attention: str) -> Any:
    """Larger logits: the embedding is the output head too, and its input is normalised."""
    model = setup.model(attention)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(SHARPER)
    return model


@torch.inference_mode()
def by_token(model: Any, prompt: list[int], answers: list[list[int]]) -> np.ndarray:
    """Each answer's probability where every token is drawn among those that lead to an answer."""
    found = []
    for answer in answers:
        logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].double()
        total = 0.0
        for place, token in enumerate(answer):
            begin = answer[:place]
            follow = sorted({other[place] for other in answers if other[:place] == begin})
            among = logits[len(prompt) - 1 + place, follow].log_softmax(0)
            total += among[follow.index(token)].item()
        found.append(total)
    return np.exp(found)


def counts(name: str, setup: Setup, asked: Questions, draws: int, constraint: str) -> np.ndarray:
    """How often each candidate is drawn, over as many samples of the one prompt as it takes."""
    model = sharpened(setup, OURS)
    trainer = trainer_of(SIDES[name], setup, asked, model=model)
    trainer.constraint = constraint
    for weight in trainer.model.parameters():  # without the adapter: the plain model's own draws
        if weight.requires_grad:
            torch.nn.init.zeros_(weight)
    (row,), (prompt,) = rows_of(asked), asked.prompts
    samples = [{**row, "sample_id": str(number)} for number in range(draws // GROUP)]
    trainer.prompts = {sample["sample_id"]: prompt for sample in samples}
    groups = trainer.roll(samples, GROUP)
    place = {tuple(answer): index for index, answer in enumerate(asked.answers[0])}
    drawn = [place[tuple(tokens)] for group in groups for tokens in group]
    return np.bincount(drawn, minlength=CANDIDATES)


def claims_of(setup: Setup, args: argparse.Namespace) -> list[Claim]:
    asked = setup.questions(1, history=1, candidates=CANDIDATES)
    chances = by_token(sharpened(setup, STOCK), asked.prompts[0], asked.answers[0])
    assert abs(chances.sum() - 1) < 1e-6
    draws = 400 if args.quick else args.draws
    found = {name: counts(name, setup, asked, draws, "token") for name in ("enumerate", "sample")}
    whole = counts("enumerate", setup, asked, draws, "sequence")

    def told(drawn: np.ndarray) -> dict[str, Any]:
        shares = {"drawn": drawn / drawn.sum(), "exact": chances}
        return {name: " ".join(f"{x:.3f}" for x in share) for name, share in shares.items()}

    p = {
        f"{name} against the exact distribution": (chisquare(n, chances * n.sum()).pvalue, told(n))
        for name, n in found.items()
    }
    both = np.stack(list(found.values()))
    p["enumerate against sample"] = chi2_contingency(both[:, both.any(0)]).pvalue, {}
    made = [
        Claim(
            claim=f"p of {name}",
            ratio=float(value),
            goal=LEVEL,
            equal=bool(value >= LEVEL),
            figures=figures,
        )
        for name, (value, figures) in p.items()
    ]
    other = float(chisquare(whole, chances * whole.sum()).pvalue)
    made.append(
        Claim(
            claim="whole answers' probabilities are told apart: allowed p by p",
            ratio=LEVEL / max(other, 1e-12),
            goal=1.0,
            figures=told(whole),
        )
    )
    return made


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--draws", type=int, default=8000)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    record(__file__, claims_of(Setup("tiny", ("stage=grpo",)), args), args)


if __name__ == "__main__":
    main()
