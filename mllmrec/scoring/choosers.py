"""What chooses the next tokens while answers are written: draws, the most probable, beams."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import TopPLogitsWarper

from mllmrec.scoring.trie import Tokens

Node = dict[int, Any]  # the tokens that lead on in a trie of answers; none after an answer
DONE: Node = {}  # where an answer is complete
Next = tuple[Tensor | None, Tensor]  # what each goes on from, None for itself; its token (B, G)


@dataclass(frozen=True)
class Written:
    """What was written, the end of turn included if it was, with a number a token.

    ``logps`` are log-probabilities under the whole vocabulary at the temperature, before ``top_p``
    and before any constraint; ``entropies`` are of the same distributions, in nats.
    """

    tokens: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)

    def then(self, token: int, logp: float, entropy: float) -> "Written":
        return Written([*self.tokens, token], [*self.logps, logp], [*self.entropies, entropy])


class Chooser(Protocol):
    """Chooses the next tokens of a batch by their logits, and keeps what was written."""

    def __call__(self, logits: Tensor) -> Next | None:
        """By logits (B, N, V): what to feed, or None when all is written."""

    def written(self) -> list[list[Written]]: ...


class Rollouts:
    """Continuations that grow by what ``pick`` takes of log-probabilities, each until an end.

    ``pick`` has them of shape (B, N, V), N being 1 for the first token, which follows the same
    prompt for all of a group, and then one a continuation; it gives tokens (B, N) or (B, G).
    """

    def __init__(
        self,
        pick: Callable[[Tensor], Tensor],
        groups: list[int],
        ends: Collection[int],
        pad_id: int,
        temperature: float = 1.0,
    ) -> None:
        self.pick, self.groups, self.pad_id, self.temperature = pick, groups, pad_id, temperature
        self.ends = torch.tensor(sorted(ends), dtype=torch.long)
        self.done = torch.arange(max(groups)) >= torch.tensor(groups)[:, None]
        self.steps: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def __call__(self, logits: Tensor) -> Next | None:
        logps, entropies = measured(logits, self.temperature)
        shape = self.done.shape
        tokens = self.pick(logps).expand(shape)
        logps = logps.expand(*shape, -1)
        chosen = logps.gather(2, tokens[..., None])[..., 0]
        kept = ~self.done
        tokens = torch.where(self.done, self.pad_id, tokens.cpu())
        self.steps.append((kept, tokens, chosen, entropies.expand(shape)))
        self.done = self.done | torch.isin(tokens, self.ends)
        return None if self.done.all() else (None, tokens)

    def written(self) -> list[list[Written]]:
        stacked = (torch.stack(found, dim=2).cpu() for found in zip(*self.steps, strict=True))
        kept, *columns = stacked
        return [
            [Written(*(c[b, g][kept[b, g]].tolist() for c in columns)) for g in range(count)]
            for b, count in enumerate(self.groups)
        ]


class Draw:
    """Draws tokens by the inverse of their cumulated probabilities.

    Where ``tries`` hold them, tokens that may follow are looked up once for a node of a trie,
    however many continuations stand at it: the root of a catalogue has thousands.
    """

    def __init__(
        self,
        seeds: Sequence[Sequence[int]],
        room: int,
        top_p: float,
        tries: Sequence[Node] | None,
        pad_id: int,
    ) -> None:
        most = max(map(len, seeds))
        self.numbers = torch.zeros(len(seeds), most, room, dtype=torch.float64)
        for b, row in enumerate(seeds):
            for g, seed in enumerate(row):
                drawn = np.random.Generator(np.random.Philox(key=seed)).random(room)
                self.numbers[b, g] = torch.from_numpy(drawn)
        self.cut = TopPLogitsWarper(top_p) if top_p < 1 else None
        self.nodes: list[list[Node]] = [[node] * most for node in tries or ()]
        self.pad_id = pad_id
        self.step = 0

    def __call__(self, logps: Tensor) -> Tensor:
        """A token a continuation, (B, G), by log-probabilities of each or of all of a prompt."""
        rows, count, _ = logps.shape
        scores = logps.flatten(0, 1)
        if self.nodes:
            scores = scores.masked_fill(~self.leads_on(count, scores), -torch.inf)
        if self.cut:
            scores = self.cut(None, scores)
        mass = scores.softmax(-1, dtype=torch.float64).cumsum(-1)
        numbers = self.numbers[..., self.step].reshape(rows * count, -1).to(mass.device)
        self.step += 1
        drawn = torch.searchsorted(mass, numbers * mass[:, -1:], right=True)
        # rounding may take a number to the whole mass: then the last token that has any
        tokens = torch.minimum(drawn, mass.argmax(-1, keepdim=True)).view(rows, -1)
        if self.nodes:
            self.nodes = [
                [node.get(token, DONE) for node, token in zip(*pair, strict=True)]
                for pair in zip(self.nodes, tokens.tolist(), strict=True)
            ]
        return tokens

    def leads_on(self, count: int, scores: Tensor) -> Tensor:
        """Which tokens may follow the first ``count`` of each row, (B·N, V); padding where an
        answer is complete.
        """
        flat = [node for row in self.nodes for node in row[:count]]
        known = {id(node): n for n, node in enumerate(flat)}  # of equal nodes the last
        places = {key: place for place, key in enumerate(known)}
        allowed = np.zeros((len(known), scores.shape[1]), dtype=bool)
        for place, n in enumerate(known.values()):
            node = flat[n]
            allowed[place, np.fromiter(node, np.int64, len(node)) if node else self.pad_id] = True
        index = torch.tensor([places[id(node)] for node in flat])
        return torch.from_numpy(allowed).to(scores.device)[index.to(scores.device)]


@dataclass(frozen=True)
class Beam:
    """A beginning of an answer, its place in the trie, and its place in the row last fed."""

    written: Written
    node: Node
    row: int = 0

    @property
    def key(self) -> tuple[float, list[int]]:
        """Better beams first; among equals the tokens decide."""
        return -sum(self.written.logps), self.written.tokens


class Beams:
    """The best so many beginnings of each prompt's answers."""

    def __init__(self, tries: Sequence[Node], width: int, pad_id: int) -> None:
        self.width, self.pad_id = width, pad_id
        self.beams = [[Beam(Written(), node)] for node in tries]

    def __call__(self, logits: Tensor) -> Next | None:
        logps, entropies = measured(logits)
        self.beams = [self.grown(b, row, logps, entropies) for b, row in enumerate(self.beams)]
        return self.following()

    def grown(self, b: int, row: list[Beam], logps: Tensor, entropies: Tensor) -> list[Beam]:
        """The best of a prompt's complete beams and of all that its others lead on to.

        Beams are made of those alone whose sums are among the best: a node of a catalogue has
        thousands of tokens that lead on.
        """
        live, done = ([x for x in row if bool(x.node) == is_live] for is_live in (True, False))
        if not live:
            return row
        sizes = [len(beam.node) for beam in live]
        tokens = np.fromiter((token for beam in live for token in beam.node), np.int64, sum(sizes))
        places = np.repeat(np.arange(len(live)), sizes)
        index = (torch.from_numpy(numbers).to(logps.device) for numbers in (places, tokens))
        found = logps[b][tuple(index)].double().cpu().numpy()
        sums = np.repeat([sum(beam.written.logps) for beam in live], sizes) + found
        least = -np.inf
        if len(sums) > self.width:
            least = np.partition(sums, -self.width)[-self.width]
        entropy = entropies[b].tolist()
        for at in np.flatnonzero(sums >= least):
            n, token = int(places[at]), int(tokens[at])
            written = live[n].written.then(token, float(found[at]), entropy[n])
            done.append(Beam(written, live[n].node[token], n))
        return sorted(done, key=lambda beam: beam.key)[: self.width]

    def following(self) -> Next | None:
        """The beams that are not complete, side by side, and what each goes on from."""
        live = [[beam for beam in row if beam.node] for row in self.beams]
        count = max(map(len, live))
        if not count:
            return None
        parents = torch.zeros(len(live), count, dtype=torch.long)
        tokens = torch.full((len(live), count), self.pad_id)
        for b, row in enumerate(live):
            for n, beam in enumerate(row):
                parents[b, n], tokens[b, n] = beam.row, beam.written.tokens[-1]
        return parents, tokens

    def written(self) -> list[list[Written]]:
        return [[beam.written for beam in row] for row in self.beams]


def measured(logits: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities (B, N, V) and their entropies (B, N)."""
    logps = (logits.float() / temperature).log_softmax(-1)
    return logps, -(logps.exp() * logps).sum(-1)


def tree(answers: Sequence[Tokens]) -> Node:
    """A trie of answers, by token.

    Raises ValueError where there are none, and for one without tokens or that begins another.
    """
    root: Node = {}
    for answer in answers:
        node = root
        for token in answer:
            node = node.setdefault(token, {})
    leaves = sum(1 for _ in leaves_of(root))
    if not all(map(len, answers)) or leaves != len({tuple(answer) for answer in answers}):
        raise ValueError("an answer begins another, or there are none")
    return root


def leaves_of(node: Node) -> Iterator[Node]:
    """The ends of the answers in a trie."""
    heap = [node]
    while heap:
        one = heap.pop()
        heap += one.values()
        if not one:
            yield one


def pruned(root: Node, answers: Sequence[Tokens]) -> Node:
    """The same trie without these of its answers; nodes on their paths are copies, others shared.

    Raises ValueError where no answer is left.
    """
    root = dict(root)
    fresh = {id(root)}
    for answer in answers:
        path = [root]
        for token in answer[:-1]:
            node = path[-1][token]
            if id(node) not in fresh:
                node = path[-1][token] = dict(node)
                fresh.add(id(node))
            path.append(node)
        for node, token in zip(reversed(path), reversed(answer), strict=True):
            del node[token]
            if node:
                break
    if not root:
        raise ValueError("no answer is left")
    return root


def nested(answers: Sequence[Tokens], ends: Collection[int], room: int) -> Node:
    """A trie of answers, by token.

    Raises ValueError where there are none, and for an answer that is longer than ``room`` or has
    an end elsewhere than at its end.
    """
    root: Node = {}
    for answer in answers:
        closed = [place for place, token in enumerate(answer, 1) if token in ends]
        if closed != [len(answer)] or len(answer) > room:
            raise ValueError(f"an answer of {len(answer)} tokens ends at {closed}, room is {room}")
        node = root
        for token in answer:
            node = node.setdefault(token, {})
    if not root:
        raise ValueError("a prompt has no answers")
    return root
