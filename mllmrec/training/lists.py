"""Lists of candidates, written token by token."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from mllmrec.algorithm.batch import Batch, Span, Tokens
from mllmrec.algorithm.rollout.lists import Lists
from mllmrec.scoring.choosers import Node
from mllmrec.scoring.lines import Lines, named
from mllmrec.training.rollouts import Sampling


def newline_of(tokenizer: Any) -> list[int]:
    """The tokens between two lines of a list."""
    found: list[int] = tokenizer("\n", add_special_tokens=False)["input_ids"]
    return found


def longest(answers: Mapping[str, Sequence[int]], items: int | None, tokenizer: Any) -> int:
    """The most tokens that an answer can have, or a list of so many answers.

    Each has its end of turn, in whose place a list has a newline, but behind its last line.
    """
    sizes = sorted(map(len, answers.values()), reverse=True)[: items or 1]
    return sum(sizes) + (len(sizes) - 1) * (len(newline_of(tokenizer)) - 1)


class Listing(Sampling):
    """A completion is a list: a line for each of so many candidates, all of them different."""

    @property
    def items(self) -> int:
        rollout = self.algorithm.rollout
        assert isinstance(rollout, Lists)
        return rollout.items

    @cached_property
    def newline(self) -> list[int]:
        return newline_of(self._tokenizer)

    @cached_property
    def names(self) -> dict[Tokens, str]:
        """Items by the tokens of their answers, without the end of turn."""
        return {tuple(tokens[:-1]): item for item, tokens in self.answers.items()}

    def trie(self, sample: Any) -> Node:
        end = self._tokenizer.eos_token_id
        made: Any = Lines.of(super().trie(sample), self.items, self.newline, end)
        return made  # a mapping, whose nodes are made when they are gone to

    def spans(self, completion: Tokens, item: str | None) -> list[Span]:
        return named(completion, self.names, self.newline, self._tokenizer.eos_token_id)

    def rolled(self, inputs: Sequence[Any], draws: int) -> Batch:
        batch = super().rolled(inputs, draws)
        owners = zip(batch.spans, batch.owner.tolist(), strict=True)
        found = [batch.samples[n].target in [item for item, _, _ in spans] for spans, n in owners]
        self.chart("lists/hit", sum(found) / max(1, len(found)))
        self.chart("lists/items", sum(map(len, batch.spans)) / max(1, len(found)))
        return batch
