"""Rollouts of some prompts as a batch: what was drawn, what it is paid, and its scores."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mllmrec.algorithm.base import Algorithm
from mllmrec.algorithm.batch import Batch, Context, Sample, Span, Tokens
from mllmrec.scoring.book import Book, Pair, held
from mllmrec.scoring.choosers import Node, tree
from mllmrec.seeds import seed_for
from mllmrec.training.catalogue import Catalogue
from mllmrec.training.course import Course
from mllmrec.training.grpo_trainer import Trainer

Groups = Sequence[Sequence[Sequence[int]]]  # of each sample, the tokens of its completions


class Rolling(Trainer):
    """Rolls out and pays; how groups come about is for the kinds below it.

    ``hear`` reads a completion's text as one of the candidates, None where it is none.
    """

    algorithm: Algorithm
    context: Context
    course: Course
    hear: Callable[[str, Sequence[str]], str | None]
    catalogue: Catalogue | None = None  # where samples list no candidates
    is_telling: bool = True  # not of prompts that a part asks for besides
    last: Batch | None = None  # what was rolled out last
    asked: set[str]  # the samples that this step has rolled out

    def roll(self, samples: Sequence[Any], draws: int) -> Groups:
        """The completions of each sample, ``draws`` a sample."""
        raise NotImplementedError

    def chances(self) -> list[float] | None:
        """By completion of the last ``roll``, the probability by which it was drawn, if known."""
        return None

    def spans(self, completion: Tokens, item: str | None) -> list[Span]:
        """The items that a completion names, and where."""
        return [(item, 0, len(completion))]

    def candidates(self, sample: Any) -> Sequence[str]:
        """The items that may answer a sample: those that it lists, or the catalogue's."""
        if self.catalogue:
            return self.catalogue.candidates(sample["user_id"], sample["target"])
        return list(sample["candidates"])

    def trie(self, sample: Any) -> Node:
        """The answers that a sample may be given, by token."""
        if self.catalogue:
            return self.catalogue.trie(sample["user_id"], sample["target"])
        return tree([self.answers[item] for item in self.candidates(sample)])

    @property
    def draws(self) -> int:
        """How many completions of a prompt are drawn."""
        parts = self.algorithm.group.values()
        return max([self.num_generations, *(part.drawn(self.num_generations) for part in parts)])

    def rolled(self, inputs: Sequence[Any], draws: int) -> Batch:
        """The rollouts of these prompts with their rewards."""
        self.book = None
        with self.course.clock("rollout"), torch.no_grad():
            groups = self.roll(inputs, draws)
            self.leads = self.leading(inputs)
        if self.leads is not None:
            self.book = None  # its scores are those of the whole vocabulary
        samples = [self.sample(row) for row in inputs]
        owner = [n for n, group in enumerate(groups) for _ in group]
        completions = [held(tokens) for group in groups for tokens in group]
        self.course.count(rollouts=len(completions))
        with self.course.clock("reward"):
            rows = [inputs[n] for n in owner]
            texts, table = self.paid(rows, [samples[n] for n in owner], completions)
            items = [
                self.hear(text, samples[n].candidates) for text, n in zip(texts, owner, strict=True)
            ]
        device, chances = self.accelerator.device, self.chances()
        pairs = [(samples[n].prompt, c) for n, c in zip(owner, completions, strict=True)]
        old, mask = self.laid(pairs, self.valued(pairs))
        batch = Batch(
            step=self.state.global_step,
            context=self.context,
            samples=samples,
            owner=torch.tensor(owner, device=device),
            completions=completions,
            items=items,
            spans=[self.spans(c, item) for c, item in zip(completions, items, strict=True)],
            rewards=(table * self.reward_weights.to(device)).nansum(1),
            hits=torch.tensor(
                [item == samples[n].target for item, n in zip(items, owner, strict=True)],
                device=device,
            ),
            mask=mask,
            old=old,
            advantages=torch.zeros(len(owner), device=device),
            chance=None if chances is None else torch.tensor(chances, device=device),
        )
        if self.is_telling:
            self.tell_rewards(batch, table, rows)
        self.last = self.group_rewarded(batch)
        return self.last

    def sample(self, row: Any) -> Sample:
        return Sample(
            id=row["sample_id"],
            prompt=tuple(self.prompt(row)),
            history=tuple(row.get("history") or ()),
            target=row.get("target", ""),
            candidates=self.candidates(row),
        )

    def prompt(self, row: Any) -> list[int]:
        return self.prompts[row["sample_id"]]

    def paid(
        self, rows: Sequence[Any], samples: Sequence[Sample], completions: Sequence[Tokens]
    ) -> tuple[list[str], Tensor]:
        """The texts of completions, and what each reward pays for them, (B, rewards)."""
        texts = self.processing_class.batch_decode(
            list(map(list, completions)), skip_special_tokens=True
        )
        told = {
            "prompts": [row["prompt"] for row in rows],
            "completions": [[{"role": "assistant", "content": text}] for text in texts],
            "completion_ids": list(map(list, completions)),
            "target": [sample.target for sample in samples],
            "candidates": [sample.candidates for sample in samples],
        }
        found = [reward(**told) for reward in self.reward_funcs]
        return texts, torch.tensor(found, device=self.accelerator.device).T

    def pay(self, sample: Sample, tokens: Tokens) -> float:
        """The reward of one completion, without those that look at groups."""
        rows = [{"prompt": [{"role": "user", "content": ""}]}]
        _, table = self.paid(rows, [sample], [tokens])
        return float((table * self.reward_weights.to(table.device)).nansum())

    def group_rewarded(self, batch: Batch) -> Batch:
        for name, part in self.algorithm.group_reward.items():
            with self.course.clock(f"group_reward.{name}"):
                found = part(batch)
            if self.is_telling:
                self.chart(f"rewards/{name}/mean", self.average(batch, found))
            batch = replace(batch, rewards=batch.rewards + part.weight * found)
        return batch

    def more(self, count: int, round: int) -> Batch:
        """Other prompts of the training set, rolled out."""
        size, step = len(self.train_dataset), self.state.global_step
        found: list[Any] = []
        for draw in range(50 * count):  # enough where most have not been asked in this step
            if len(found) == count:
                break
            place = seed_for(self.args.seed, "more prompts", step, round, draw) % size
            row = self.train_dataset[place]
            if row["sample_id"] not in self.asked:
                self.asked.add(row["sample_id"])
                found.append(row)
        return self.rolled(found, self.draws) if found else self.none()

    def none(self) -> Batch:
        """A batch without a prompt: all of the training set has been asked."""
        assert self.last is not None
        return replace(self.last.take([]), samples=[])

    def leading(self, inputs: Sequence[Any]) -> dict[Tokens, Node] | None:
        """The tries of prompts, where log-probabilities are among what leads on in them.

        Prompts that are the same text for users of different candidates have the whole catalogue's.
        """
        if getattr(self.algorithm.rollout, "logprob_space", "full") == "full":
            return None
        found: dict[Tokens, Node] = dict(self.leads or {})
        for row in inputs:
            prompt = tuple(self.prompt(row))
            twice = prompt in found and self.catalogue is not None
            found[prompt] = self.catalogue.root if twice and self.catalogue else self.trie(row)
        return found

    def valued(self, pairs: Sequence[Pair]) -> Book:
        """The sampler's scores: those that the rollouts brought, or those of a pass now."""
        known = self.book
        if known is not None and all(pair in known.starts for pair in pairs if pair[1]):
            return known
        with torch.no_grad():
            return self.scored(self.model, self.packed(pairs))

    def filled(self, batch: Batch) -> Batch:
        """The scores of rows that a part has put in."""
        if not batch.old.isnan().any():
            return batch
        places = batch.old.isnan().any(1).nonzero()[:, 0].tolist()
        pairs = [self.pairs(batch, {})[place] for place in places]
        found, _ = self.laid(pairs, self.valued(pairs))
        old = batch.old.clone()
        old[places] = torch.nn.functional.pad(found, (0, old.shape[1] - found.shape[1]))
        return replace(batch, old=old)

    def laid(self, pairs: Sequence[Pair], book: Book) -> tuple[Tensor, Tensor]:
        """Log-probabilities of completions by row, and their mask, (N, T); values alone."""
        width = max((len(tokens) for _, tokens in pairs), default=1)
        found, _ = book.look_up(pairs, width)
        return found.detach(), mask_of(pairs, width, found.device)

    def chart(self, name: str, value: Any) -> None:
        number = value.item() if isinstance(value, Tensor) else float(value)
        self._metrics["train"][name].append(number)

    def average(self, batch: Batch, values: Tensor) -> Tensor:
        """What a value a row comes to on average, by how rows are drawn."""
        return values.mean()

    def tell_rewards(self, batch: Batch, table: Tensor, rows: Sequence[Any]) -> None:
        """Means of each reward, and of prompts with a rationale and of those without."""
        for place, name in enumerate(self.reward_func_names):
            self.chart(f"rewards/{name}/mean", self.average(batch, table[:, place].nan_to_num()))
            self.chart(f"rewards/{name}/std", table[:, place].std() if len(batch) > 1 else 0.0)
        self.chart("reward", self.average(batch, batch.rewards))
        self.chart("reward_std", batch.rewards.std() if len(batch) > 1 else 0.0)
        hinted = torch.tensor([bool(row.get("hinted")) for row in rows])
        hinted = hinted.to(batch.rewards.device)
        if hinted.any():
            for name, part in (("with", hinted), ("without", ~hinted)):
                if part.any():
                    self.chart(f"reward/{name}_rationale", batch.rewards[part].mean())


def mask_of(pairs: Sequence[Pair], width: int, device: torch.device) -> Tensor:
    """1 on the tokens of each completion, (N, width)."""
    lengths = torch.tensor([len(tokens) for _, tokens in pairs], device=device)
    return (torch.arange(width, device=device) < lengths[:, None]).float()
