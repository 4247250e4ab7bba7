"""A fixed probe of validation samples during training: the task's own metric, never the test's."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mllmrec import ranking
from mllmrec.artifacts import write_json
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.rendering import fitted
from mllmrec.schema import Words
from mllmrec.scoring.packed import answer_logps
from mllmrec.stage.base import Metrics
from mllmrec.training.adapter import save_adapter
from mllmrec.training.options import ProbeOptions
from mllmrec.training.session import seed_for

log = logging.getLogger(__name__)

TOKENS_PER_BATCH = 1024


class Probe:
    """Ranks the candidates of the first validation samples, in an order of their ids' hashes."""

    def __init__(
        self,
        options: ProbeOptions,
        prepared: Prepared,
        prompt: Prompt,
        words: Words,
        tokenizer: Any,
        limit: int,
        seed: int,
    ) -> None:
        samples = prepared.samples("validation")
        order = sorted(range(len(samples)), key=lambda row: seed_for(seed, "probe", row))
        samples = samples[sorted(order[: options.samples])]
        candidates = samples[options.protocol].to_list()
        self.answers = [
            [
                prompt.encode_answer(tokenizer, prompt.answer_text(item, prepared.titles[item]))
                for item in row
            ]
            for row in candidates
        ]
        room = max(len(answer) for row in self.answers for answer in row)
        fit = fitted(samples, options.protocol, prepared, prompt, words, tokenizer, limit, room)
        self.prompts = [one.ids for one in fit.made]
        targets = samples["target"].to_list()
        self.targets = [row.index(target) for row, target in zip(candidates, targets, strict=True)]
        self.seed = seed

    def measure(self, model: Any) -> Metrics:
        """HR@1, NDCG@5 and MRR on the probe."""
        scores = answer_logps(model, self.prompts, self.answers, TOKENS_PER_BATCH)
        ranks = ranking.ranks(ranking.table(scores), self.targets, seed=self.seed)
        return {
            "probe/hr@1": float(ranking.hit_rate(ranks, 1).mean()),
            "probe/ndcg@5": float(ranking.ndcg(ranks, 5).mean()),
            "probe/mrr": float(ranking.mrr(ranks).mean()),
        }


class ProbeCallback(TrainerCallback):
    """Measures every so many steps, logs it, and keeps the adapter that was best.

    A measurement never disturbs the training: it draws no random number. On a resumed run the
    same steps give the same numbers, so the adapter that is kept is the same one too.
    """

    def __init__(
        self,
        probe: Probe,
        options: ProbeOptions,
        folder: Path,
        tell: Callable[[Metrics, int], None],
    ) -> None:
        self.probe, self.options, self.folder, self.tell = probe, options, folder, tell
        self.record = folder / "best.json"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self.look(state, kwargs["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.options.every == 0 or state.global_step == state.max_steps:
            self.look(state, kwargs["model"])

    def look(self, state: Any, model: Any) -> None:
        step, metrics = state.global_step, self.probe.measure(model)
        self.tell(metrics, step)
        state.log_history.append({"step": step, **metrics})  # checkpoints keep it
        log.info("probe at step %d: NDCG@5 %.4f", step, metrics["probe/ndcg@5"])
        best = json.loads(self.record.read_text()) if self.record.exists() else {}
        if not best or metrics["probe/ndcg@5"] > best["probe/ndcg@5"]:
            save_adapter(model, self.folder / "adapter")
            write_json(self.record, {"step": step, **metrics})
