"""The same answers to every prompt, thousands of them: a catalogue, laid out once as tries.

What is scored at once is bounded: parts of the tries, each behind its prompt, and the logits of
their nodes. A prompt is read again for each part, which costs little as parts are much longer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mllmrec import ranks
from mllmrec.scoring.attention import share_prompts
from mllmrec.scoring.decode import evaluating
from mllmrec.scoring.packed import check_room, logits_of, reading
from mllmrec.scoring.trie import NODES, Row, Tokens, Trie, pack

LOGITS = 1 << 28  # held at once: 1 GiB
CELLS = 4_000_000  # scores of (prompts, answers) that are held at once: 32 MB

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some tries, whose node 0 is each prompt's last token, and the answers in them.

    Term t is token ``tokens[t]`` behind node ``nodes[t]`` of the part; the terms of answer
    ``answers[i]`` begin at ``begins[i]``.
    """

    tries: list[Trie]
    nodes: Ints
    tokens: Ints
    answers: Ints
    begins: Ints

    @property
    def size(self) -> int:
        return sum(len(trie.tokens) for trie in self.tries)

    def behind(self, prompt: Tokens) -> Row:
        """The part as a row of this prompt; its answers are known here, not there."""
        tries = [replace(trie, tokens=[prompt[-1], *trie.tokens[1:]]) for trie in self.tries]
        return Row(prompt=prompt, tries=tries, answers=[], paths=[])


@dataclass(frozen=True, kw_only=True)
class Forest:
    """So many answers in parts; ``depth`` is the most tokens of one that are fed."""

    count: int
    depth: int
    parts: list[Part]


def forest(answers: Sequence[Tokens], most: int) -> Forest:
    """Lay answers out in parts of at most ``most`` nodes, where one answer has no more.

    Raises ValueError for an answer without tokens.
    """
    row = pack([0], answers, nodes=max(1, min(NODES, most)))
    firsts = np.cumsum([0, *(len(trie.tokens) for trie in row.tries)])
    own = np.searchsorted(firsts, [path[-1] for path in row.paths], side="right") - 1
    groups: list[list[int]] = []
    for trie in range(len(row.tries)):
        if not groups or firsts[trie + 1] - firsts[groups[-1][0]] > most:
            groups.append([])
        groups[-1].append(trie)
    members = np.argsort(own, kind="stable")
    cuts = np.searchsorted(own[members], [group[0] for group in groups[1:]])
    parts = [
        part(row, group, int(firsts[group[0]]), some)
        for group, some in zip(groups, np.split(members, cuts), strict=True)
    ]
    return Forest(count=len(answers), depth=row.depth - 1, parts=parts)


def part(row: Row, group: Sequence[int], first: int, answers: Ints) -> Part:
    """These tries of a row, which begin at node ``first``, and the answers that lie in them."""
    nodes = [np.array(row.paths[answer]) - first for answer in answers]
    return Part(
        tries=[row.tries[trie] for trie in group],
        nodes=np.concatenate(nodes),
        tokens=np.concatenate([np.array(row.answers[answer]) for answer in answers]),
        answers=answers,
        begins=np.cumsum([0, *map(len, nodes[:-1])]),
    )


def catalogue_logps(
    model: Any,
    prompts: Sequence[Tokens],
    answers: Sequence[Tokens],
    tokens_per_batch: int,
    progress: Callable[[int], object] | None = None,
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """log p(answer | prompt) in nats of some prompts and every answer, group after group.

    As ``packed.answer_logps`` with the same answers to every prompt, but for memory: a batch holds
    up to ``tokens_per_batch`` tokens and LOGITS logits (one part of the answers at least), a group
    CELLS scores. Raises as that does.
    """
    share_prompts(model)
    words = model.config.get_text_config().vocab_size
    trees = forest(answers, most=max(1, min(tokens_per_batch, LOGITS // words)))
    check_room(model, max(map(len, prompts), default=0) + trees.depth)
    rows, most = max(1, CELLS // trees.count), max(one.size for one in trees.parts)
    for start in range(0, len(prompts), rows):
        group = prompts[start : start + rows]
        table, done = np.zeros((len(group), trees.count)), set[int]()
        with evaluating(model), reading():
            fitting = longest_first(together(group, most, tokens_per_batch, LOGITS // words), group)
            for batch, others in ranks.rounds(fitting):
                for one in trees.parts:
                    found = sums(model, one, [group[i] for i in batch])
                    table[np.array(batch)[:, None], one.answers] = found
                done.update(batch)
                if progress:
                    progress(sum(map(len, others)))
        if ranks.count() > 1:
            for row, scores in ranks.merged({row: table[row] for row in done}).items():
                table[row] = scores
        yield slice(start, start + len(group)), table


def together(prompts: Sequence[Tokens], size: int, tokens: int, nodes: int) -> Iterator[list[int]]:
    """Indices of prompts whose rows, with so many nodes each, keep to both budgets, or of one."""
    batch: list[int] = []
    total = 0
    for i, prompt in enumerate(prompts):
        more = len(prompt) - 1 + size
        if batch and (total + more > tokens or (len(batch) + 1) * size > nodes):
            yield batch
            batch, total = [], 0
        batch.append(i)
        total += more
    if batch:
        yield batch


def longest_first(batches: Iterator[list[int]], prompts: Sequence[Tokens]) -> list[list[int]]:
    """The same batches, that of the longest prompt first: memory runs out at once or never."""
    return sorted(batches, key=lambda batch: -max(len(prompts[i]) for i in batch))


def sums(model: Any, one: Part, prompts: Sequence[Tokens]) -> NDArray[np.float64]:
    """log p of the answers of a part behind each of these prompts, (prompts, answers)."""
    logits = logits_of(model, [one.behind(prompt) for prompt in prompts])
    logits = logits.view(len(prompts), one.size, -1)
    nodes, tokens = (torch.from_numpy(x).to(logits.device) for x in (one.nodes, one.tokens))
    found = logits[:, nodes, tokens] - logits.logsumexp(-1)[:, nodes]
    return np.add.reduceat(found.double().cpu().numpy(), one.begins, axis=1)
