"""A fixed probe of validation samples during training: the task's own metric, never the test's."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mllmrec import ranking, ranks
from mllmrec.artifacts import write_json
from mllmrec.dataset.candidates import FULL
from mllmrec.dataset.full import unlisted
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import fitted
from mllmrec.reward.base import Reward
from mllmrec.schema import Words
from mllmrec.stage.base import Metrics
from mllmrec.training.adapter import save_adapter
from mllmrec.training.choices import Listed, Unlisted
from mllmrec.training.inflation import INFLATION, NDCG, TRAIN, inflation, is_inflated, mean_reward
from mllmrec.training.options import ProbeOptions

log = logging.getLogger(__name__)


class Probe:
    """Ranks the candidates of validation samples, plainly and, where there are hints, with them.

    Under the protocol ``full`` they are the whole catalogue, ranked as evaluation ranks it by id.

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
        told = prepared, prompt, tokenizer, rewards or {}
        self.choices: Listed | Unlisted
        if options.protocol == FULL:
            self.choices, samples = Unlisted(samples, *told), unlisted(samples)
        else:
            self.choices = Listed(samples, options.protocol, *told)

        def encoded(rationales: Mapping[str, str]) -> list[list[int]]:
            fit = fitted(
                *(samples, options.protocol, prepared, prompt, words, tokenizer, limit),
                *(self.choices.room, rationales),
            )
            return [one.ids for one in fit.made]

        self.views = {"": encoded({})}
        if hints is not None:
            self.views["hint/"] = encoded(hints)
            log.info("probe: %d of %d samples have a hint", len(hints), len(samples))
        self.seed = seed

    def measure(self, model: Any) -> Metrics:
        """HR@1, NDCG@5, MRR and the expected reward, of each view of the probe."""
        found: Metrics = {}
        for view, prompts in self.views.items():
            ranks, reward = self.choices.look(model, prompts, self.seed)
            found[f"probe/{view}hr@1"] = float(ranking.hit_rate(ranks, 1).mean())
            found[f"probe/{view}ndcg@5"] = float(ranking.ndcg(ranks, 5).mean())
            found[f"probe/{view}mrr"] = float(ranking.mrr(ranks).mean())
            if reward is not None:
                found[f"probe/{view}reward"] = reward
        if "probe/hint/reward" in found:
            found["probe/hint_gap"] = found["probe/hint/reward"] - found["probe/reward"]
        return found


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
