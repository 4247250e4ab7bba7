"""A step of a composed algorithm through TRL's trainer: rollouts to batch, batch to loss.

TRL's trainer has groups of one size, one loss and no order of operations, so what it would do
between its sampler and its optimiser is done here, by the parts of ``mllmrec/algorithm``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mllmrec.algorithm.base import Algorithm, State
from mllmrec.algorithm.batch import Batch, Context, Rows, Terms, Tokens
from mllmrec.artifacts import write_json
from mllmrec.scoring.book import Book, Pair
from mllmrec.training.course import Course
from mllmrec.training.known import Known, Synced
from mllmrec.training.rolling import Rolling, mask_of

PARTS = "parts.json"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A batch that is ready to be learnt from, and what else its losses want scored.

    ``others`` are the auxiliaries' completions by the name of the part, ``ref`` and ``old`` the
    scores of all pairs (rows first, then others) where they do not come from the policy.
    """

    batch: Batch
    others: Mapping[str, Sequence[tuple[int, Tokens]]]
    ref: Book | None
    old: Book | None


class Composed(Rolling):
    """Carries out the parts of an algorithm; how groups come about is for the kinds below it."""

    made: Made | None = None
    states: dict[str, State]

    def compose(
        self,
        algorithm: Algorithm,
        known: Known,
        hear: Callable[[str, Sequence[str]], str | None],
        tokens_per_batch: int,
    ) -> None:
        """Hand the trainer what TRL's constructor has no place for."""
        self.algorithm, self.hear, self.tokens_per_batch = algorithm, hear, tokens_per_batch
        self.answers, self.constraint = known.answers, algorithm.rollout.held
        self.states = {name: {} for name in algorithm.shaping}
        self.course, self.synced = Course(), Synced(algorithm.kl)
        self.context = Context(
            answers=known.answers,
            seed=self.args.seed,
            max_steps=self.args.max_steps,
            num_generations=self.num_generations,
            vectors=known.vectors,
            branching=known.branching,
            pay=self.pay,
            more=self.more,
        )

    # --- from prompts to a batch --------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        with self.course.step(self._metrics["train"]):
            return super().training_step(*args, **kwargs)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """The batch of this step: a new one, or what was rolled out for several steps."""
        if self._step % self.num_iterations == 0 or self.made is None:
            self.synced.look(self.model, self.state.global_step)
            self.made = self.begun(generation_batch[:: self.num_generations])
        return self.made

    def begun(self, inputs: Sequence[Any]) -> Made:
        """Roll out, pay, and take the batch through the parts."""
        algorithm, clock = self.algorithm, self.course.clock
        self.context = replace(self.context, max_steps=self.state.max_steps)
        self.asked, self.leads = {row["sample_id"] for row in inputs}, None
        self.is_telling = True
        batch = self.rolled(inputs, self.draws)
        self.tell_rollouts(batch)
        self.is_telling = False
        for name, group in algorithm.group.items():
            with clock(f"group.{name}"):
                batch = self.filled(group(batch))
        with clock("advantage"):
            batch = replace(batch, advantages=algorithm.advantage(batch))
        for name, shaping in algorithm.shaping.items():
            with clock(f"shaping.{name}"):
                batch = replace(batch, advantages=shaping(batch, self.states[name]))
        for name, rebatch in algorithm.rebatch.items():
            with clock(f"rebatch.{name}"):
                batch = rebatch(batch)
        others = {name: tuple(part.others(batch)) for name, part in algorithm.auxiliary.items()}
        pairs = self.pairs(batch, others)
        wants_old = self.num_iterations > 1
        return Made(
            batch=batch,
            others=others,
            ref=self.referred(pairs) if self.needs_reference else None,
            old=self.valued(pairs) if wants_old else None,
        )

    # --- scores -------------------------------------------------------------------------------

    @property
    def needs_reference(self) -> bool:
        return bool(self.beta) or self.algorithm.needs_reference

    def pairs(self, batch: Batch, others: Mapping[str, Sequence[tuple[int, Tokens]]]) -> list[Pair]:
        prompts = [sample.prompt for sample in batch.samples]
        rows = zip(batch.owner.tolist(), batch.completions, strict=True)
        more = (pair for some in others.values() for pair in some)
        return [(prompts[n], tokens) for n, tokens in [*rows, *more]]

    def referred(self, pairs: Sequence[Pair]) -> Book:
        """The reference's scores: of the model without its adapter, or with the one it had."""
        model = self.accelerator.unwrap_model(self.model)
        with torch.no_grad(), self.course.clock("reference"), self.synced.standing(model):
            return self.reference(self.model, pairs)

    def rows(
        self, some: Sequence[tuple[int, Tokens]], made: Made, book: Book
    ) -> tuple[Rows, Tensor | None]:
        """These completions with all of their scores, and the entropies of their tokens."""
        batch = made.batch
        pairs = [(batch.samples[n].prompt, tokens) for n, tokens in some]
        width = max((len(tokens) for _, tokens in some), default=1)
        logps, entropies = book.look_up(pairs, width)
        mask = mask_of(pairs, width, logps.device)
        weigh, context = self.algorithm.token_weight, self.context
        weights = [
            torch.tensor([*weigh(tokens, batch.samples[n], context)], dtype=torch.float32)
            for n, tokens in some
        ]
        rows = Rows(
            owner=torch.tensor([n for n, _ in some], dtype=torch.long, device=logps.device),
            logps=logps,
            old=logps.detach() if made.old is None else made.old.look_up(pairs, width)[0].detach(),
            ref=None if made.ref is None else made.ref.look_up(pairs, width)[0].detach(),
            mask=mask,
            weights=pad_sequence(weights, batch_first=True).to(logps.device),
        )
        return rows, entropies

    # --- the loss -----------------------------------------------------------------------------

    def _compute_loss(self, model: Any, inputs: Made) -> Tensor:
        clock, batch = self.course.clock, inputs.batch
        with clock("forward"):
            book = self.policy(model, self.pairs(batch, inputs.others))
        own = list(zip(batch.owner.tolist(), batch.completions, strict=True))
        with clock("policy"):
            rows, entropies = self.rows(own, inputs, book)
            kl = self.algorithm.kl(rows) if self.beta else None
            terms = self.terms(Terms(
                batch=batch, rows=rows, beta=self.beta, longest=self.max_completion_length, kl=kl,
            ), book, inputs)  # fmt: skip
            loss = self.algorithm.policy(terms)
        for name, part in self.algorithm.auxiliary.items():
            with clock(f"auxiliary.{name}"):
                some = inputs.others[name]
                found = part(terms, self.rows(some, inputs, book)[0] if some else None)
                self.chart(f"loss/{name}", found)
                loss = loss + part.weight * found
        self.tell_loss(terms, entropies)
        self.count_read(self.pairs(batch, inputs.others))
        return loss

    def terms(self, terms: Terms, book: Book, made: Made) -> Terms:
        """What else a kind of rollout knows for the loss."""
        return terms

    # --- charts -------------------------------------------------------------------------------

    def tell_rollouts(self, batch: Batch) -> None:
        """What the step's own prompts gave, before anything is dropped or drawn besides."""
        groups = batch.groups
        even = batch.total(self.algorithm.advantage(batch).view(len(batch), -1).abs().sum(1)) == 0
        unique = [len({batch.completions[row] for row in rows}) for rows in groups]
        self.chart("groups/no_signal", (even & (batch.std(batch.rewards) == 0)).float().mean())
        self.chart("groups/without_hit", (batch.total(batch.hits.float()) == 0).float().mean())
        self.chart("groups/unique", sum(unique) / max(len(unique), 1))
        lengths = batch.mask.sum(1)
        self.chart("completions/mean_length", lengths.mean())
        self.chart("completions/max_length", lengths.max())

    def tell_loss(self, terms: Terms, entropies: Tensor | None) -> None:
        mask = terms.rows.mask
        count = mask.sum().clamp(min=1)
        if entropies is not None:
            self.chart("entropy", (entropies * mask).sum() / count)
        if terms.kl is not None:
            self.chart("kl", (terms.kl * mask).sum() / count)
        weights = terms.rows.weights
        if not torch.equal(weights, mask):
            self.chart("token_weight/mean", weights.sum() / count)
        for name, value in terms.batch.charts.items():
            self.chart(name, value)
        terms.batch.charts.clear()

    def count_read(self, pairs: Sequence[Pair]) -> None:
        """The tokens that the losses are taken of: a prompt once, each distinct completion once."""
        prompts = sum(len(prompt) for prompt in {prompt for prompt, _ in pairs})
        self.course.count(tokens=prompts + sum(len(tokens) for _, tokens in set(pairs)))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs = {**logs, **self.course.told()}
        super().log(logs, *args, **kwargs)

    # --- checkpoints --------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        told = {"states": self.states, "course": self.course.told(), "since": self.synced.since}
        write_json(folder / PARTS, told)
        self.synced.save(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        told = json.loads((Path(resume_from_checkpoint) / PARTS).read_text(encoding="utf-8"))
        self.states = told["states"]
        self.course.restore(told["course"])
        self.synced.load(Path(resume_from_checkpoint), told["since"])
