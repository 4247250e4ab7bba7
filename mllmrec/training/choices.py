"""What a probe lets a model choose among: candidates that prompts list, or the whole catalogue."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy.special import softmax

from mllmrec import ranking
from mllmrec.dataset.full import Whole
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.reward.base import Reward
from mllmrec.scoring.catalogue import catalogue_logps
from mllmrec.scoring.packed import answer_logps
from mllmrec.training.catalogue import Others, markers

TOKENS_PER_BATCH = 1024

Rewards = Mapping[str, Reward]
Found = tuple[np.ndarray, float | None]  # the targets' ranks; the expected reward, if any is paid


class Listed:
    """The candidates of a protocol, each by its whole answer; ``room`` is the longest's tokens."""

    def __init__(
        self,
        samples: pl.DataFrame,
        protocol: str,
        prepared: Prepared,
        prompt: Prompt,
        tokenizer: Any,
        rewards: Rewards,
    ) -> None:
        candidates, targets = samples[protocol].to_list(), samples["target"].to_list()
        text = {
            item: prompt.answer_text(item, prepared.titles[item])
            for item in {item for row in candidates for item in row}
        }
        tokens = {item: prompt.encode_answer(tokenizer, answer) for item, answer in text.items()}
        self.answers = [[tokens[item] for item in row] for row in candidates]
        self.room = max(map(len, tokens.values()))
        self.targets = [row.index(target) for row, target in zip(candidates, targets, strict=True)]
        titles, rows = prompt.shown(prepared.titles), zip(candidates, targets, strict=True)
        self.payoffs = [
            [paid(text[item], target, row, titles, rewards) for item in row] for row, target in rows
        ]
        self.is_paid = bool(rewards)

    def look(self, model: Any, prompts: Sequence[list[int]], seed: int) -> Found:
        scores = answer_logps(model, prompts, self.answers, TOKENS_PER_BATCH)
        found = ranking.ranks(ranking.table(scores), self.targets, seed=seed)
        return found, expected(scores, self.payoffs) if self.is_paid else None


class Unlisted:
    """All items but the user's own other ones, by their markers alone, as evaluation does by id.

    ``room`` is the longest marker's tokens; where markers are tokens, all are read off the end of
    one pass over a prompt. ``payoffs`` (samples, items) are those of whole answers.
    """

    def __init__(
        self,
        samples: pl.DataFrame,
        prepared: Prepared,
        prompt: Prompt,
        tokenizer: Any,
        rewards: Rewards,
    ) -> None:
        self.whole = Whole.of(prepared, samples)
        self.answers = markers(prepared, prompt, tokenizer)
        self.room = max(map(len, self.answers))
        self.payoffs = self.paid(prepared, prompt, rewards) if rewards else None

    def paid(self, prepared: Prepared, prompt: Prompt, rewards: Rewards) -> np.ndarray:
        """The pay-off of every item behind every sample, 0 where it is no candidate."""
        ids, titles = self.whole.ids.to_list(), prompt.shown(prepared.titles)
        column = {item: place for place, item in enumerate(ids)}
        text = [prompt.answer_text(item, prepared.titles[item]) for item in ids]
        table = np.zeros((len(self.whole.samples), len(ids)))
        for row, target in enumerate(self.whole.samples["target"]):
            few = Others(ids, column, np.unique(self.whole.barred(row)))
            for item in few:
                place = column[item]
                table[row, place] = paid(text[place], target, few, titles, rewards)
        return table

    def look(self, model: Any, prompts: Sequence[list[int]], seed: int) -> Found:
        found, rewards = [], []
        for some, scores in catalogue_logps(model, prompts, self.answers, TOKENS_PER_BATCH):
            table = self.whole.masked(some, scores)
            found.append(ranking.ranks(table, self.whole.target[some], seed, some.start))
            if self.payoffs is not None:
                rewards.append(expected(table, self.payoffs[some]) * len(table))
        mean = sum(rewards) / len(prompts) if self.payoffs is not None else None
        return np.concatenate(found), mean


def paid(
    answer: str,
    target: str,
    candidates: Collection[str],
    titles: Mapping[str, str],
    rewards: Rewards,
) -> float:
    """The weighted sum of what an answer earns."""
    told: Any = {"target": target, "candidates": candidates, "titles": titles}
    return sum(reward.weight * reward(answer, **told) for reward in rewards.values())


def expected(scores: Sequence[Any] | np.ndarray, payoffs: Sequence[Any] | np.ndarray) -> float:
    """Mean over samples of Σ p(candidate) · reward, p ∝ π(answer)."""
    rows = zip(scores, payoffs, strict=True)
    return float(np.mean([softmax(np.array(row)) @ np.array(earned) for row, earned in rows]))
