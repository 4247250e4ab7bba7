"""How the answers of a group come about: a trainer for each value of ``algorithm.rollout``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mllmrec import ranks
from mllmrec.scoring import decode
from mllmrec.scoring.book import Book, Pair, written
from mllmrec.scoring.choosers import Written
from mllmrec.scoring.packed import Scores, log_choice
from mllmrec.scoring.trie import Row, Tokens, pack
from mllmrec.seeds import seed_for, share_of
from mllmrec.training.grpo_trainer import Trainer
from mllmrec.training.reference import ReferenceScores

Groups = Sequence[Sequence[list[int]]]  # of each sample, the tokens of its completions


class Rolling(Trainer):
    """What the ways have in common: a group a sample, in the order that TRL repeats its rows."""

    def _generate_single_turn(self, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        groups = self.roll(self.rows[:: self.num_generations])
        return [tokens for group in groups for tokens in group], None

    def roll(self, samples: Sequence[Any]) -> Groups:
        raise NotImplementedError

    def prompt(self, sample: Any) -> list[int]:
        return self.prompts[sample["sample_id"]]

    def candidates(self, sample: Any) -> list[Tokens]:
        return [self.answers[item] for item in sample["candidates"]]


class Enumerating(Rolling):
    """Draws each group from the exact distribution over its prompt's candidates.

    One pass scores them all. Where it is cheap to keep, that pass is the policy's as well, and
    the step computes nothing twice; otherwise what was drawn is computed again with gradients.
    """

    constraint: Literal["token", "sequence"]
    charts_tokens = True  # whether TRL's loss is taken, which charts the entropy of tokens
    kept: ReferenceScores | None = None  # None: no sample comes twice
    tables: dict[str, Row]  # this step's samples with all of their candidates

    def roll(self, samples: Sequence[Any]) -> Groups:
        self.score(samples)
        return [
            [list(row.answers[place]) for place in self.draw(id, mass)]
            for (id, row), mass in zip(self.tables.items(), self.chances, strict=True)
        ]

    def score(self, samples: Sequence[Any]) -> None:
        """All candidates of these samples, and the probability of each to be drawn."""
        self.tables = {s["sample_id"]: pack(self.prompt(s), self.candidates(s)) for s in samples}
        rows = list(self.tables.values())
        with torch.set_grad_enabled(self.keeps(rows)):
            self.book = self.scored(self.model, rows, self.charts_tokens)
        self.chances = self.choices(rows, self.book)

    def keeps(self, rows: Sequence[Row]) -> bool:
        """Whether the drawing pass serves as the policy's too.

        Kept, all A tokens of answers go forward and back; not kept, all go forward once, and the
        prompt once more with what was drawn. Kept is less work where 2A < P. It has to be one
        part, as its memory stays until the step's end, and the last pass before the weights move.
        """
        total, answers = sum(row.size for row in rows), sum(row.nodes for row in rows)
        return (
            self.num_iterations == 1
            and self.most(rows) <= self.tokens_per_batch
            and 2 * answers <= total - answers
        )

    def most(self, rows: Sequence[Row]) -> float:
        """The tokens of the rank that takes most; where weights are sharded no pass is kept."""
        if ranks.here().sharding:
            return float("inf")
        sizes = [row.size for row in rows]
        return max(sum(sizes[i] for i in share) for share in ranks.shares(sizes))

    def imagined(self, sample: Any) -> Sequence[Tokens]:
        return self.candidates(sample)

    def choices(self, rows: Sequence[Row], book: Book) -> list[np.ndarray]:
        """The probability of each candidate, by row, in float64."""
        logps = book.of(rows).detach().double()
        chances = log_choice(rows, logps, self.constraint).exp().cpu().numpy()
        return np.split(chances, np.cumsum([len(row.answers) for row in rows])[:-1])

    def draw(self, sample_id: str, mass: np.ndarray) -> list[int]:
        """A candidate for each place of the group, by a number of (seed, step, sample, place)."""
        step, below = self.state.global_step, mass.cumsum()
        numbers = [
            share_of(self.args.seed, "rollout", step, sample_id, place)
            for place in range(self.num_generations)
        ]
        found = np.searchsorted(below, np.array(numbers) * below[-1], side="right")
        return np.minimum(found, len(mass) - 1).tolist()

    def reference(self, model: Any, pairs: Sequence[Pair]) -> Book:
        if self.kept is None:
            return super().reference(model, pairs)
        return self.kept.book(
            self.tables, lambda rows: self.scored(model, rows, False), self.accelerator.device
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.kept is not None:
            folder = Path(self._get_output_dir(trial=trial))
            self.kept.save(folder / f"checkpoint-{self.state.global_step}")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.kept is not None:
            self.kept.load(Path(resume_from_checkpoint))


class Writing(Rolling):
    """What is written token by token; the decoder tells the scores of what it wrote."""

    def roll(self, samples: Sequence[Any]) -> Groups:
        with self.accelerator.autocast():
            groups = self.write(samples)
        prompts = [tuple(self.prompt(sample)) for sample in samples]
        found = {
            (prompt, tuple(one.tokens)): one
            for prompt, group in zip(prompts, groups, strict=True)
            for one in group
        }
        device = self.accelerator.device
        scores = Scores(
            logps=torch.tensor([x for one in found.values() for x in one.logps], device=device),
            entropies=torch.tensor(
                [x for one in found.values() for x in one.entropies], device=device
            ),
        )
        self.book = written(found, scores)
        return [[one.tokens for one in group] for group in groups]

    def write(self, samples: Sequence[Any]) -> list[list[Written]]:
        raise NotImplementedError


class Sampling(Writing):
    """Answers drawn token by token: anything, or what leads on to a candidate."""

    constraint: Literal["token"] | None

    def write(self, samples: Sequence[Any]) -> list[list[Written]]:
        step = self.state.global_step
        seeds = [
            [
                seed_for(self.args.seed, "rollout", step, sample["sample_id"], place)
                for place in range(self.num_generations)
            ]
            for sample in samples
        ]
        return decode.sample(
            self.model,
            list(map(self.prompt, samples)),
            seeds,
            ends=self.eos_token_ids,
            pad_id=self._tokenizer.pad_token_id,
            room=self.max_completion_length,
            temperature=self.temperature,
            top_p=self.top_p,
            answers=list(map(self.candidates, samples)) if self.constraint else None,
            tokens_per_batch=self.tokens_per_batch,
        )


class Beaming(Writing):
    """The most probable distinct candidates, by a beam search through their trie."""

    def write(self, samples: Sequence[Any]) -> list[list[Written]]:
        return decode.beams(
            self.model,
            list(map(self.prompt, samples)),
            list(map(self.candidates, samples)),
            self.num_generations,
            pad_id=self._tokenizer.pad_token_id,
            tokens_per_batch=self.tokens_per_batch,
        )
