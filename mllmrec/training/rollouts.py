"""How the answers of a group come about: a trainer for each ``algorithm/rollout``."""

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
from mllmrec.training.composed import Composed
from mllmrec.training.reference import ReferenceScores
from mllmrec.training.rolling import Groups


class Enumerating(Composed):
    """Draws each group from the exact distribution over its prompt's candidates.

    One pass scores them all. Where it is cheap to keep, that pass is the policy's as well, and
    the step computes nothing twice; otherwise what was drawn is computed again with gradients.
    """

    constraint: Literal["token", "sequence"]
    charts_tokens = True  # whether the entropy of tokens is charted
    kept: ReferenceScores | None = None  # None: no sample comes twice
    tables: dict[str, Row]  # this step's samples with all of their candidates

    def roll(self, samples: Sequence[Any], draws: int) -> Groups:
        self.score(samples)
        drawn = [
            self.draw(id, mass, draws) for id, mass in zip(self.tables, self.masses, strict=True)
        ]
        self.drawn_by = np.concatenate(
            [mass[places] for mass, places in zip(self.masses, drawn, strict=True)]
        )
        rows = self.tables.values()
        return [
            [row.answers[place] for place in places]
            for row, places in zip(rows, drawn, strict=True)
        ]

    def chances(self) -> list[float]:
        found: list[float] = self.drawn_by.tolist()
        return found

    def score(self, samples: Sequence[Any]) -> None:
        """All candidates of these samples, and the probability of each to be drawn."""
        self.tables = {s["sample_id"]: pack(self.prompt(s), self.listed(s)) for s in samples}
        rows = list(self.tables.values())
        with torch.set_grad_enabled(self.keeps(rows)):
            self.book = self.scored(self.model, rows, self.charts_tokens)
        self.masses = self.choices(rows, self.book)

    def keeps(self, rows: Sequence[Row]) -> bool:
        """Whether the drawing pass serves as the policy's too.

        Kept, all A tokens of answers go forward and back; not kept, all go forward once, and the
        prompt once more with what was drawn. Kept is less work where 2A < P. It has to be one
        part, as its memory stays until the step's end, and the last pass before the weights move.
        """
        total, answers = sum(row.size for row in rows), sum(row.nodes for row in rows)
        return self.may_keep(rows) and 2 * answers <= total - answers

    def may_keep(self, rows: Sequence[Row]) -> bool:
        """Whether the graph of a pass over these rows can stay until the step's end."""
        return (
            self.num_iterations == 1
            and not self.more_or_synced
            and self.most(rows) <= self.tokens_per_batch
        )

    @property
    def more_or_synced(self) -> bool:
        """Whether a pass over a step's prompts may not be its last before the loss.

        More prompts may be rolled out, or weights be put aside for a reference that is synced.
        """
        parts = self.algorithm.group.values()
        return bool(self.synced.every) or any(part.draws_more for part in parts)

    def most(self, rows: Sequence[Row]) -> float:
        """The tokens of the rank that takes most; where weights are sharded no pass is kept."""
        if ranks.here().sharding:
            return float("inf")
        sizes = [row.size for row in rows]
        return max(sum(sizes[i] for i in share) for share in ranks.shares(sizes))

    def listed(self, sample: Any) -> list[Tokens]:
        """The answers that a sample may be given."""
        return [self.answers[item] for item in self.candidates(sample)]

    def imagined(self, sample: Any) -> Sequence[Tokens]:
        return self.listed(sample)

    def choices(self, rows: Sequence[Row], book: Book) -> list[np.ndarray]:
        """The probability of each candidate, by row, in float64."""
        logps = book.of(rows).detach().double()
        chances = log_choice(rows, logps, self.constraint).exp().cpu().numpy()
        return np.split(chances, np.cumsum([len(row.answers) for row in rows])[:-1])

    def draw(self, sample_id: str, mass: np.ndarray, draws: int) -> list[int]:
        """A candidate for each place of the group, by a number of (seed, step, sample, place)."""
        step, below = self.state.global_step, mass.cumsum()
        numbers = [
            share_of(self.args.seed, "rollout", step, sample_id, place) for place in range(draws)
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


class Writing(Composed):
    """What is written token by token; the decoder tells the scores of what it wrote."""

    def roll(self, samples: Sequence[Any], draws: int) -> Groups:
        with self.accelerator.autocast():
            groups = self.write(samples, draws)
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

    def write(self, samples: Sequence[Any], draws: int) -> list[list[Written]]:
        raise NotImplementedError


class Sampling(Writing):
    """Answers drawn token by token: anything, or what leads on to a candidate."""

    constraint: Literal["token"] | None

    def write(self, samples: Sequence[Any], draws: int) -> list[list[Written]]:
        step = self.state.global_step
        seeds = [
            [
                seed_for(self.args.seed, "rollout", step, sample["sample_id"], place)
                for place in range(draws)
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
            trie_of=(lambda i: self.trie(samples[i])) if self.constraint else None,
            tokens_per_batch=self.tokens_per_batch,
        )


class Beaming(Writing):
    """The most probable distinct candidates, by a beam search through their trie."""

    def write(self, samples: Sequence[Any], draws: int) -> list[list[Written]]:
        return decode.searched(
            self.model,
            list(map(self.prompt, samples)),
            lambda i: self.trie(samples[i]),
            draws,
            room=self.max_completion_length,
            pad_id=self._tokenizer.pad_token_id,
            tokens_per_batch=self.tokens_per_batch,
        )
