"""TRL's GRPOTrainer, in which a prompt is computed once for all of its completions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from mllmrec import ranks
from mllmrec.parallel.sharding import spread
from mllmrec.scoring.book import Book, Pair, book_of, pairs_of, rows_of
from mllmrec.scoring.choosers import Node
from mllmrec.scoring.packed import Scores, batches, by_row, fitting, joined, token_logps
from mllmrec.scoring.trie import Row, Tokens, pack
from mllmrec.seeds import seed_for
from mllmrec.training.rows import Prompts, lengths


class EpochSampler(RepeatSampler):
    """TRL's sampler with an order that depends on the epoch alone.

    TRL's own holds one generator for all epochs, so a run resumed in epoch 2 would replay the
    order of epoch 1. The trainer calls ``set_epoch``, also on resuming.
    """

    def set_epoch(self, epoch: int) -> None:
        if self.shuffle:
            self.generator.manual_seed(seed_for(self.seed or 0, "epoch", epoch))


@dataclass(frozen=True, kw_only=True)
class Owed:
    """Rows whose scores stand in a loss as values, and the gradients that these have taken up.

    ``made`` are the scores of the rows that this rank takes, where their graph was kept.
    """

    rows: list[Row]
    book: Book
    made: Tensor | None = None

    def gradient(self, rows: Sequence[Row]) -> Tensor:
        found = self.book.scores.logps.grad
        assert found is not None, "the step's loss has not gone backward"
        return found[torch.cat([self.book.places(row) for row in rows])]


class Trainer(GRPOTrainer):
    """TRL's trainer and its rollouts, scored by shared prompts within a budget of tokens.

    An optimiser step is one batch to TRL, so groups stay whole and losses are of the whole step.
    Where its tokens are over ``tokens_per_batch``, the loss is taken from values, and the
    gradient of each log-probability brought to the weights part by part (``settle``): every kind
    of loss comes out as from one large batch, in bounded memory.
    """

    prompts: Prompts  # by sample; in TRL's rows they would be walked at every step
    answers: Mapping[str, Tokens]  # the tokens of each item's answer, its end of turn included
    tokens_per_batch: int
    book: Book | None = None  # what the rollouts know of their completions' scores
    owed: Owed | None = None  # what has a gradient that is still to be settled
    leads: Mapping[tuple[int, ...], Node] | None = (
        None  # by prompt, where scores are among what leads on
    )

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        super()._move_model_to_device(spread(model), device)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(dataset)
        sampler.__class__ = EpochSampler
        return sampler

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self.rows = inputs  # one a completion: what the methods below must know of each
        self.book = None
        return super()._generate_and_score_completions(inputs)

    def _tokenize_prompts(self, prompts: Any) -> Any:
        """What they were encoded to before: in one place, and once."""
        return [self.prompts[row["sample_id"]] for row in self.rows], None, {}

    def _calculate_rewards(self, inputs: Any, *args: Any) -> Any:
        """TRL's, and charts of their own for prompts with a rationale and for those without."""
        table = super()._calculate_rewards(inputs, *args)
        totals = (table * self.reward_weights.to(table.device)).nansum(dim=1)
        hinted = torch.tensor([bool(row.get("hinted")) for row in inputs], device=table.device)
        if hinted.any():
            for name, part in (("with", totals[hinted]), ("without", totals[~hinted])):
                if len(part):
                    self._metrics["train"][f"reward/{name}_rationale"].append(part.mean().item())
        return table

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        self.settle()
        return loss

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

        TRL asks for the policy's with gradients, for the old policy's and the reference's
        without; the reference is the model with its adapter switched off.
        """
        if more := [name for name, value in pictures.items() if value is not None and value]:
            raise NotImplementedError(f"rows with more than text: {more}")
        pairs = pairs_of(input_ids, attention_mask, logits_to_keep)
        if is_bare(model):
            book = self.reference(model, pairs)
        elif torch.is_grad_enabled():
            book = self.policy(model, pairs)
        else:
            book = self.book = self.book or self.scored(model, self.packed(pairs))
        logps, entropies = book.look_up(pairs, logits_to_keep)
        return logps, entropies if compute_entropy else None, None

    def packed(self, pairs: Sequence[Pair]) -> list[Row]:
        """What is scored for these pairs: a row a prompt."""
        return rows_of(pairs)

    def reference(self, model: Any, pairs: Sequence[Pair]) -> Book:
        return self.scored(model, self.packed(pairs), entropy=False)

    def policy(self, model: Any, pairs: Sequence[Pair]) -> Book:
        """The policy's scores, as part of a graph that leads to the weights or is yet to."""
        known = self.book if self.num_iterations == 1 else None  # else the weights have moved
        if known and not all(pair in known.starts for pair in pairs if pair[1]):
            known = None  # a loss wants more than what was rolled out
        if known and known.scores.logps.requires_grad:
            return known
        rows = self.packed(pairs)
        if ranks.count() == 1 and sum(row.size for row in rows) <= self.tokens_per_batch:
            return self.scored(model, rows)
        if known is None:
            with torch.no_grad():
                known = self.scored(model, rows)
        self.owed = Owed(rows=rows, book=known.leaf(rows))
        return self.owed.book

    def settle(self) -> None:
        """Bring the gradient of the step's log-probabilities to the weights, part by part."""
        owed, self.owed = self.owed, None
        if owed is None:
            return
        if owed.made is not None:
            few = [owed.rows[i] for part, _ in self.parts(owed.rows) for i in part]
            owed.made.backward(owed.gradient(few))
        else:
            for part, counts in self.parts(owed.rows):
                few = [owed.rows[i] for i in part]
                with self.accelerator.autocast():
                    made = token_logps(self.model, few, self.temperature, allowed=self.allowed(few))
                gradient = owed.gradient(few)
                made.logps.backward(gradient if counts else torch.zeros_like(gradient))
        ranks.sum_gradients(self.model.parameters())

    def parts(self, rows: Sequence[Row]) -> list[tuple[list[int], bool]]:
        """The rows that this rank takes, as many at once as the budget of tokens allows."""
        cut = partial(fitting, budget=self.tokens_per_batch)
        return ranks.parts([row.size for row in rows], cut)

    def scored(self, model: Any, rows: Sequence[Row], entropy: bool = True) -> Book:
        """Every completion of the rows, in as many forwards as the budget of tokens asks for.

        Of several ranks each takes a share, and all get all of the values.
        """
        parts, found = self.parts(rows), []
        for part, _ in parts:
            few = [rows[i] for i in part]
            with self.accelerator.autocast():
                allowed = self.allowed(few)
                found.append(token_logps(model, few, self.temperature, entropy, allowed))
        if ranks.count() == 1:
            return book_of([rows[i] for part, _ in parts for i in part], joined(found))
        return self.exchanged(rows, [p for p, counts in parts if counts], found)

    def allowed(self, rows: Sequence[Row]) -> list[Node] | None:
        """The tries within which these rows are scored; None: under the whole vocabulary."""
        return None if self.leads is None else [self.leads[tuple(row.prompt)] for row in rows]

    def exchanged(
        self, rows: Sequence[Row], parts: Sequence[list[int]], found: Sequence[Scores]
    ) -> Book:
        """The values of all ranks' parts; where there are gradients, this rank owes those of its
        own, whose graph is kept.
        """
        own: dict[int, Scores] = {}
        for part, scores in zip(parts, found, strict=False):  # behind them, what only kept step
            own |= zip(part, by_row([rows[i] for i in part], scores), strict=True)
        every = ranks.merged({i: scores.moved("cpu") for i, scores in own.items()})
        scores = joined([every[i].moved(self.accelerator.device) for i in range(len(rows))])
        if not torch.is_grad_enabled():
            return book_of(rows, scores)
        scores.logps.requires_grad_()
        made = torch.cat([scores.logps for scores in found]) if found else None
        self.owed = Owed(rows=list(rows), book=book_of(rows, scores), made=made)
        return self.owed.book

    def rehearse(self) -> None:
        """Forward and backward of the prompts that take most memory; nothing is learnt.

        Writing is not rehearsed: the cache of rollout=sample and rollout=beam comes on top, and
        lack of memory for it shows at the first rollout.
        """
        count = self._train_batch_size // self.num_generations
        longest = np.argsort(-lengths(self.prompts.rows, "ids"), kind="stable")[:count]
        samples = [self.train_dataset[place] for place in longest.tolist()]
        rows = [pack(self.prompts[s["sample_id"]], self.imagined(s)) for s in samples]
        part = next(batches(rows, self.tokens_per_batch))
        self.model.train()
        with self.accelerator.autocast():
            made = token_logps(self.model, [rows[i] for i in part], self.temperature, True)
        made.logps.sum().backward()

    def imagined(self, sample: Any) -> Sequence[Tokens]:
        """Completions of this sample that are as long as any can be."""
        return [[place] * self.max_completion_length for place in range(self.num_generations)]


def is_bare(model: Any) -> bool:
    """Whether the adapter of a model is switched off."""
    layer = next((part for part in model.modules() if isinstance(part, BaseTunerLayer)), None)
    return layer is not None and layer.disable_adapters
