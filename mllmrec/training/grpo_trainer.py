"""TRL's GRPOTrainer with the few methods overridden that recommendation needs otherwise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from mllmrec.scoring.packed import answer_logps
from mllmrec.scoring.shared import completion_logps
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

        TRL computes a prompt once for each completion, and its fused head reads the weight past
        PEFT's trainable rows; here each prompt is computed once, by the whole model.
        """
        if any(value is not None and value is not False for value in pictures.values()):
            raise NotImplementedError(f"rows with more than text: {sorted(pictures)}")
        size = batch_size or len(input_ids)
        parts = [
            self.shared(model, ids, mask, logits_to_keep)
            for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True)
        ]
        logps, entropies = (torch.cat(found) for found in zip(*parts, strict=True))
        return logps, entropies if compute_entropy else None, None

    def shared(self, model: Any, ids: Any, mask: Any, count: int) -> tuple[Any, Any]:
        """The same for one part, whose last ``count`` columns are completions."""
        with self.accelerator.autocast():
            return completion_logps(
                model,
                ids[:, :-count],
                mask[:, :-count],
                ids[:, -count:],
                mask[:, -count:],
                self.temperature,
            )


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
        """An index with probability ∝ exp(score)."""
        mass = np.exp(np.asarray(scores) - max(scores)).cumsum()
        place += self.accelerator.process_index * len(self.rows)
        number = share_of(
            self.args.seed,
            "rollout",
            self.state.global_step,
            sample_id,
            place % self.num_generations,
        )
        return int(np.searchsorted(mass, number * mass[-1], side="right"))
