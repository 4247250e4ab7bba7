"""TRL's GRPOTrainer with the few methods overridden that recommendation needs otherwise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from mllmrec.scoring.packed import answer_logps
from mllmrec.training.session import seed_for, share_of

TOKENS_PER_BATCH = 4096


class EpochSampler(RepeatSampler):
    """TRL's sampler with an order that depends on the epoch alone.

    TRL's own holds one generator for all epochs, so a run resumed in epoch 2 would replay the
    order of epoch 1. The trainer calls ``set_epoch``, also on resuming.
    """

    def set_epoch(self, epoch: int) -> None:
        self.generator.manual_seed(seed_for(self.seed or 0, "epoch", epoch))


class Trainer(GRPOTrainer):
    """TRL's trainer with the sampler above, and log-probabilities that PEFT's item rows enter."""

    answers: dict[str, list[int]]  # the tokens of each item's answer, its end of turn included

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(dataset)
        sampler.__class__ = EpochSampler
        return sampler

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **pictures: Any,
    ) -> tuple[Any, Any, None]:
        """Log-probabilities and entropies of the completions' tokens; (rows, logits_to_keep).

        TRL's fused head reads the weight past PEFT's trainable rows, and without Triton works on
        the prompt's positions too. Rows that are the same (a group draws an answer more than
        once) are computed once.
        """
        if any(value is not None and value is not False for value in pictures.values()):
            raise NotImplementedError(f"rows with more than text: {sorted(pictures)}")
        both = torch.cat([input_ids, attention_mask], dim=1)
        unique, where = torch.unique(both, dim=0, return_inverse=True)
        ids, mask = unique.chunk(2, dim=1)
        logps, entropies = [], []
        size = batch_size or len(ids)
        for rows in zip(ids.split(size), mask.split(size), strict=True):
            every = self.completion_logps(model, *rows, logits_to_keep)
            logps.append(every.gather(-1, rows[0][:, -logits_to_keep:, None])[..., 0])
            if compute_entropy:
                entropies.append(-(every.detach().exp() * every.detach()).sum(-1))
        return (
            torch.cat(logps)[where],
            torch.cat(entropies)[where] if compute_entropy else None,
            None,
        )

    def completion_logps(self, model: Any, ids: Any, mask: Any, count: int) -> Any:
        """log π at temperature of the whole vocabulary, at the last ``count`` positions."""
        with self.accelerator.autocast():
            logits = model(
                input_ids=ids, attention_mask=mask, logits_to_keep=count + 1, use_cache=False
            ).logits[:, :-1]
        return (logits.float() / self.temperature).log_softmax(-1)


class EnumeratingTrainer(Trainer):
    """Draws each group from the exact distribution over its prompt's candidates."""

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self.rows = inputs  # one a rollout: what the method below must know of each
        return super()._generate_and_score_completions(inputs)

    def _generate_single_turn(
        self, prompt_ids: Sequence[Sequence[int]], *_: Any, **__: Any
    ) -> tuple[list[list[int]], None]:
        """One answer a row, drawn by a number that depends on (seed, step, sample, place) alone."""
        scores = self.candidate_scores(prompt_ids)
        drawn = []
        for place, row in enumerate(self.rows):
            item = row["candidates"][self.draw(scores[row["sample_id"]], row["sample_id"], place)]
            drawn.append(self.answers[item])
        return drawn, None

    def candidate_scores(self, prompt_ids: Sequence[Sequence[int]]) -> dict[str, list[float]]:
        """log π of each candidate's answer, by sample; each prompt is read once."""
        first = {row["sample_id"]: place for place, row in enumerate(self.rows)}
        answers = [
            [self.answers[item] for item in self.rows[place]["candidates"]]
            for place in first.values()
        ]
        scores = answer_logps(
            self.accelerator.unwrap_model(self.model),
            [prompt_ids[place] for place in first.values()],
            answers,
            self._tokenizer.pad_token_id,
            TOKENS_PER_BATCH,
        )
        return dict(zip(first, scores, strict=True))

    def draw(self, scores: Sequence[float], sample_id: str, place: int) -> int:
        """An index with probability ∝ exp(score / temperature)."""
        scaled = np.asarray(scores) / self.temperature
        mass = np.exp(scaled - scaled.max()).cumsum()
        place += self.accelerator.process_index * len(self.rows)
        number = share_of(
            self.args.seed,
            "rollout",
            self.state.global_step,
            sample_id,
            place % self.num_generations,
        )
        return int(np.searchsorted(mass, number * mass[-1], side="right"))
