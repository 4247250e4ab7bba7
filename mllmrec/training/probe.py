"""A fixed probe of validation samples during training: the task's own metric, never the test's."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.special import softmax
from transformers import TrainerCallback

from mllmrec import ranking, ranks
from mllmrec.artifacts import write_json
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import fitted
from mllmrec.reward.base import Reward
from mllmrec.schema import Words
from mllmrec.scoring.packed import answer_logps
from mllmrec.stage.base import Metrics
from mllmrec.training.adapter import save_adapter
from mllmrec.training.inflation import INFLATION, NDCG, TRAIN, inflation, is_inflated, mean_reward
from mllmrec.training.options import ProbeOptions

log = logging.getLogger(__name__)

TOKENS_PER_BATCH = 1024


class Probe:
    """Ranks the candidates of validation samples, plainly and, where there are hints, with them.

    ``rewards`` are those of GRPO: then the probe also tells the expected reward of the policy
    held to the candidates, with no draws and so no noise.
    """

    def __init__(
        self,
        options: ProbeOptions,
        prepared: Prepared,
        prompt: Prompt,
        words: Words,
        tokenizer: Any,
        limit: int,
        seed: int,
        *,
        hints: Mapping[str, str] | None = None,
        rewards: Mapping[str, Reward] | None = None,
    ) -> None:
        samples = prepared.chosen("validation", options.samples, seed, "probe")
        candidates = samples[options.protocol].to_list()
        answer = {
            item: prompt.answer_text(item, prepared.titles[item])
            for item in {item for row in candidates for item in row}
        }
        tokens = {item: prompt.encode_answer(tokenizer, text) for item, text in answer.items()}
        self.answers = [[tokens[item] for item in row] for row in candidates]
        room = max(map(len, tokens.values()))

        def encoded(rationales: Mapping[str, str]) -> list[list[int]]:
            fit = fitted(
                *(samples, options.protocol, prepared, prompt, words, tokenizer, limit, room),
                rationales,
            )
            return [one.ids for one in fit.made]

        self.views = {"": encoded({})}
        if hints is not None:
            self.views["hint/"] = encoded(hints)
            log.info("probe: %d of %d samples have a hint", len(hints), len(samples))
        targets = samples["target"].to_list()
        self.targets = [row.index(target) for row, target in zip(candidates, targets, strict=True)]
        self.payoffs = payoffs(samples, options.protocol, answer, prompt, prepared, rewards or {})
        self.seed = seed

    def measure(self, model: Any) -> Metrics:
        """HR@1, NDCG@5, MRR and the expected reward, of each view of the probe."""
        found: Metrics = {}
        for view, prompts in self.views.items():
            scores = answer_logps(model, prompts, self.answers, TOKENS_PER_BATCH)
            ranks = ranking.ranks(ranking.table(scores), self.targets, seed=self.seed)
            found[f"probe/{view}hr@1"] = float(ranking.hit_rate(ranks, 1).mean())
            found[f"probe/{view}ndcg@5"] = float(ranking.ndcg(ranks, 5).mean())
            found[f"probe/{view}mrr"] = float(ranking.mrr(ranks).mean())
            if self.payoffs:
                found[f"probe/{view}reward"] = expected(scores, self.payoffs)
        if "probe/hint/reward" in found:
            found["probe/hint_gap"] = found["probe/hint/reward"] - found["probe/reward"]
        return found


def payoffs(
    samples: pl.DataFrame,
    protocol: str,
    answer: Mapping[str, str],
    prompt: Prompt,
    prepared: Prepared,
    rewards: Mapping[str, Reward],
) -> list[list[float]]:
    """The weighted reward of each candidate's answer, by sample; nothing where there are none."""
    if not rewards:
        return []
    titles = prompt.shown(prepared.titles)
    return [
        [
            sum(
                reward.weight * reward(answer[item], target=target, candidates=row, titles=titles)
                for reward in rewards.values()
            )
            for item in row
        ]
        for row, target in zip(samples[protocol].to_list(), samples["target"], strict=True)
    ]


def expected(scores: Sequence[Sequence[float]], payoffs: Sequence[Sequence[float]]) -> float:
    """Mean over samples of Σ p(candidate) · reward, p ∝ π(answer)."""
    rows = zip(scores, payoffs, strict=True)
    return float(np.mean([softmax(np.array(row)) @ np.array(paid) for row, paid in rows]))


class ProbeCallback(TrainerCallback):
    """Measures every so many steps, logs it, and keeps the adapter that was best.

    A measurement never disturbs the training: it draws no random number. On a resumed run the
    same steps give the same numbers, so the adapter that is kept is the same one too. With
    ``patience`` the training ends once the reward is inflated (``inflation.is_inflated``).
    ``is_like_training``: rollouts are draws among the candidates, so that their reward and the
    probe's can be held against each other; free answers are also paid for their form.
    """

    def __init__(
        self,
        probe: Probe,
        options: ProbeOptions,
        folder: Path,
        tell: Callable[[Metrics, int], None],
        *,
        patience: int | None = None,
        is_like_training: bool = False,
    ) -> None:
        self.probe, self.options, self.folder, self.tell = probe, options, folder, tell
        self.patience, self.is_like_training = patience, is_like_training
        self.record = folder / "best.json"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self.look(state, kwargs["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.options.every == 0 or state.global_step == state.max_steps:
            self.look(state, kwargs["model"])
            if self.is_over(state):
                log.info("step %d: the reward is inflated, training stops", state.global_step)
                control.should_training_stop = True

    def is_over(self, state: Any) -> bool:
        """Whether the run has ended by inflation, as its history tells."""
        return self.patience is not None and is_inflated(looks(state.log_history), self.patience)

    def look(self, state: Any, model: Any) -> None:
        step, metrics = state.global_step, self.probe.measure(model)
        if (train := mean_reward(state.log_history)) is not None:
            metrics[TRAIN] = train
        found = inflation([*looks(state.log_history), metrics])
        if found is not None and self.is_like_training:
            metrics[INFLATION] = found
        self.tell(metrics, step)
        state.log_history.append({"step": step, **metrics})  # checkpoints keep it
        log.info("probe at step %d: NDCG@5 %.4f", step, metrics[NDCG])
        if not ranks.is_main():
            return
        best = json.loads(self.record.read_text()) if self.record.exists() else {}
        if not best or metrics[NDCG] > best[NDCG]:
            save_adapter(model, self.folder / "adapter")
            write_json(self.record, {"step": step, **metrics})


def looks(history: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """The entries of a run's log that are measurements of the probe."""
    return [entry for entry in history if NDCG in entry]
