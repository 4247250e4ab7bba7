"""The networks of the recommenders, and the loss of each.

Rows are whole numbers (rows, places): items by their column in the catalogue, the oldest first,
all of one length, so that nothing is ever padded. Items' embeddings are the output weights too.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from mllmrec.recommender.base import Attentive, Recommender
    from mllmrec.recommender.bert4rec import BERT4Rec
    from mllmrec.recommender.gru4rec import GRU4Rec
    from mllmrec.recommender.sasrec_cql import SASRecCQL

STD = 0.02  # of the embeddings at the beginning
CELLS = 64_000_000  # scores a loss holds at once: 256 MB, and as much for each step of its gradient


def in_parts(part: Callable[[slice, float], Tensor], rows: int, cells: int) -> Tensor:
    """The sum of a loss over parts of the rows, each of at most CELLS scores, ``cells`` a row.

    ``part`` takes the rows and their share of all. Where one part does not do, each is computed
    once more for its gradient (Chen et al., 2016), so that the scores of one alone are ever held.
    """
    each = max(1, CELLS // cells)
    if rows <= each:
        return part(slice(0, rows), 1.0)
    losses = [
        checkpoint(part, some, (some.stop - some.start) / rows, use_reentrant=False)
        for some in (slice(n, min(n + each, rows)) for n in range(0, rows, each))
    ]
    return torch.stack(losses).sum()


class Network(nn.Module):
    """Scores of the whole catalogue after a history."""

    def __init__(self, knobs: "Recommender", items: int, special: int = 0) -> None:
        super().__init__()
        self.count = items
        self.item = nn.Embedding(items + special, knobs.hidden_size)
        nn.init.normal_(self.item.weight, std=STD)
        self.dropout = nn.Dropout(knobs.dropout)

    def states(self, rows: Tensor) -> Tensor:
        """What is known at each place: (rows, places, hidden_size)."""
        raise NotImplementedError

    def logits(self, states: Tensor) -> Tensor:
        """Scores of all items at each state: (..., items)."""
        return F.linear(states, self.item.weight[: self.count])

    def scores(self, histories: Tensor) -> Tensor:
        """Scores of all items after each history: (rows, items)."""
        return self.logits(self.states(histories)[:, -1])

    def loss(self, rows: Tensor, losing: Tensor, rng: np.random.Generator) -> Tensor:
        """The mean loss of rows, over the items that ``losing`` (rows, places) says are told."""
        states = self.states(rows[:, :-1])[losing[:, 1:]]
        return self.told(states, rows[:, 1:][losing[:, 1:]])

    def told(self, states: Tensor, chosen: Tensor) -> Tensor:
        """The mean cross entropy of what was chosen at each state, (told, hidden_size)."""

        def part(some: slice, share: float) -> Tensor:
            return share * F.cross_entropy(self.logits(states[some]), chosen[some])

        return in_parts(part, len(states), self.count)

    def follow(self) -> None:
        """What moves after a step of the optimiser without a gradient of its own."""


class Block(nn.Module):
    """Attention and two layers, each behind a norm and beside a way past it."""

    def __init__(self, knobs: "Attentive", causal: bool) -> None:
        super().__init__()
        size = knobs.hidden_size
        self.heads, self.causal = knobs.heads, causal
        self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)
        self.asked, self.told = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.inner, self.outer = (
            nn.Linear(size, knobs.inner_size),
            nn.Linear(knobs.inner_size, size),
        )
        self.dropout = nn.Dropout(knobs.dropout)

    def forward(self, x: Tensor) -> Tensor:
        rows, places, size = x.shape
        parts = self.asked(self.first(x)).view(rows, places, 3, self.heads, size // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        x = x + self.dropout(self.told(seen.transpose(1, 2).reshape(rows, places, size)))
        return x + self.dropout(self.outer(F.gelu(self.inner(self.second(x)))))


class AttentiveNetwork(Network):
    """Blocks of attention over items and learnt places, counted from the oldest."""

    causal = True

    def __init__(self, knobs: "Attentive", items: int, places: int, special: int = 0) -> None:
        super().__init__(knobs, items, special)
        self.place = nn.Embedding(places, knobs.hidden_size)
        nn.init.normal_(self.place.weight, std=STD)
        self.blocks = nn.ModuleList(Block(knobs, self.causal) for _ in range(knobs.blocks))
        self.norm = nn.LayerNorm(knobs.hidden_size)

    def states(self, rows: Tensor) -> Tensor:
        x = self.dropout(self.item(rows) + self.place.weight[: rows.shape[1]])
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.norm(x)
        return found


class SASRecNetwork(AttentiveNetwork):
    """Looks back alone."""


class GRU4RecNetwork(Network):
    """Gated recurrent units."""

    def __init__(self, knobs: "GRU4Rec", items: int) -> None:
        super().__init__(knobs, items)
        size = knobs.hidden_size
        nn.init.normal_(self.item.weight, std=size**-0.5)  # no norm stands before the recurrence
        between = knobs.dropout if knobs.layers > 1 else 0.0
        self.gru = nn.GRU(size, size, knobs.layers, batch_first=True, dropout=between)
        self.out = nn.Linear(size, size)

    def states(self, rows: Tensor) -> Tensor:
        found: Tensor = self.out(self.dropout(self.gru(self.dropout(self.item(rows)))[0]))
        return found


class BERT4RecNetwork(AttentiveNetwork):
    """Looks both ways; the last embedding stands for a hidden item."""

    causal = False

    def __init__(self, knobs: "BERT4Rec", items: int, history_length: int) -> None:
        super().__init__(knobs, items, history_length + 1, special=1)
        self.mask_share, self.last_share = knobs.mask_share, knobs.last_share
        self.bias = nn.Parameter(torch.zeros(items))

    def logits(self, states: Tensor) -> Tensor:
        return super().logits(states) + self.bias

    def scores(self, histories: Tensor) -> Tensor:
        return super().scores(F.pad(histories, (0, 1), value=self.count))

    def hidden(self, shape: Sequence[int], rng: np.random.Generator) -> Tensor:
        """Which items of rows are hidden: (rows, places)."""
        rows, places = shape
        drawn = rng.random((rows, places))
        chosen = (drawn < self.mask_share) | (drawn == drawn.min(axis=1, keepdims=True))
        last = np.arange(places) == places - 1
        only_last = rng.random((rows, 1)) < self.last_share
        return torch.from_numpy(np.where(only_last, last, chosen))

    def loss(self, rows: Tensor, losing: Tensor, rng: np.random.Generator) -> Tensor:
        hidden = self.hidden(rows.shape, rng).to(rows.device)
        states = self.states(rows.masked_fill(hidden, self.count))[hidden]
        return self.told(states, rows[hidden])


class SASRecCQLNetwork(SASRecNetwork):
    """A second head over the same states, whose scores are values of actions."""

    def __init__(self, knobs: "SASRecCQL", items: int, history_length: int) -> None:
        super().__init__(knobs, items, history_length)
        self.alpha, self.discount, self.share = knobs.alpha, knobs.discount, knobs.follow
        self.value = nn.Linear(knobs.hidden_size, items)
        self.slow = nn.Linear(knobs.hidden_size, items).requires_grad_(False)
        nn.init.normal_(self.value.weight, std=STD)
        self.slow.load_state_dict(self.value.state_dict())

    def loss(self, rows: Tensor, losing: Tensor, rng: np.random.Generator) -> Tensor:
        states, chosen, told = self.states(rows[:, :-1]), rows[:, 1:], losing[:, 1:]

        def part(some: slice, share: float) -> Tensor:
            shares = [part_of(these, some) if share < 1 else 1.0 for these in (told, told[:, :-1])]
            return conservative(
                self.value(states[some]),
                self.slow(states[some].detach()),
                chosen[some],
                told[some],
                discount=self.discount,
                alpha=self.alpha,
                shares=shares,
            )

        scores = 2 * chosen.shape[1] * self.count  # a row's, of both heads
        return self.told(states[told], chosen[told]) + in_parts(part, len(rows), scores)

    @torch.no_grad()
    def follow(self) -> None:
        for slow, value in zip(self.slow.parameters(), self.value.parameters(), strict=True):
            slow.lerp_(value, self.share)


def part_of(told: Tensor, some: slice) -> float:
    """How much of what is told, some rows tell."""
    return told[some].sum().item() / max(told.sum().item(), 1)


def conservative(
    value: Tensor,
    slow: Tensor,
    chosen: Tensor,
    told: Tensor,
    *,
    discount: float,
    alpha: float,
    shares: Sequence[float] = (1.0, 1.0),
) -> Tensor:
    """TD by double Q-learning with reward 1, and the penalty of CQL.

    ``value`` and ``slow`` are (rows, places, items), ``chosen`` and ``told`` (rows, places): what
    was chosen at each place, and whether it is of this row to learn. 0 where nothing can be told.
    Of a part of the rows, ``shares`` are what it has of all penalties, and of all errors of TD.
    """
    own = value.gather(-1, chosen[..., None])[..., 0]
    penalty = (value.logsumexp(-1) - own)[told].mean()
    best = value[:, 1:].argmax(-1, keepdim=True)
    goal = 1 + discount * slow[:, 1:].gather(-1, best)[..., 0].detach()
    error = (own[:, :-1] - goal)[told[:, :-1]]
    means = alpha * penalty, error.square().mean() if error.numel() else 0.0
    return shares[0] * means[0] + shares[1] * means[1]
