"""What the parts of an algorithm look at: the rollouts of a step, and what is known of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Tokens = tuple[int, ...]
Span = tuple[str | None, int, int]  # an item that a completion names (None: no item), from, to


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A prompt of the step, and what it is about.

    ``candidates`` are the items that may answer it: those that it lists, or the catalogue but for
    what its user has otherwise.
    """

    id: str
    prompt: Tokens
    history: Sequence[str]
    target: str
    candidates: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What stays through a training, and what a part may ask of the trainer.

    ``answers`` has the tokens of every item's answer, its end of turn included. ``vectors`` gives
    the frozen vectors of items, (n, d) of unit length (0 for one that is unknown): means of the
    merged model's embeddings of their answers' tokens. ``branching`` says for a beginning of
    answers, over the catalogue, how many tokens lead on. ``pay`` is the reward of a completion
    (those of ``reward=``, weighted, summed). ``more`` draws other prompts of the training set and
    rolls them out: (how many, which round of this step).
    """

    answers: Mapping[str, Tokens]
    seed: int
    max_steps: int
    num_generations: int
    vectors: Callable[[Sequence[str]], "Tensor"]
    branching: Callable[[Tokens], int]
    pay: Callable[[Sample, Tokens], float]
    more: Callable[[int, int], "Batch"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The rollouts of one step, a row each; B rows of P prompts, T tokens at most.

    ``owner`` (B,) says to which of ``samples`` a row belongs; rows of a prompt form its group, in
    the order in which they were drawn, and groups may differ in size. ``items`` has the item that
    each row names, None where it names none; ``spans`` the same with the tokens of each item,
    several for lists. ``rewards`` and ``hits`` are (B,), ``mask`` (B, T) is 1 on tokens; ``old``
    (B, T) are the sampler's log-probabilities, 0 behind the end, NaN where they are not known yet
    (a row that a part has put in: the trainer scores it). ``chance`` (B,) is the probability by
    which a row was drawn among its candidates, None where that is not known. ``multiplicity`` (B,)
    says for how many draws a row stands in means and stds of its group, None where each stands for
    itself. ``advantages`` are (B,), or (B, T) by token. ``charts`` takes what parts tell of a step.
    """

    step: int
    context: Context
    samples: Sequence[Sample]
    owner: "Tensor"
    completions: Sequence[Tokens]
    items: Sequence[str | None]
    spans: Sequence[Sequence[Span]]
    rewards: "Tensor"
    hits: "Tensor"
    mask: "Tensor"
    old: "Tensor"
    advantages: "Tensor"
    chance: "Tensor | None" = None
    multiplicity: "Tensor | None" = None
    charts: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.completions)

    @property
    def sums(self) -> "Tensor":
        """log π_old of each completion, (B,), in nats."""
        return self.old.sum(1)

    @property
    def sizes(self) -> "Tensor":
        """The rows of each prompt, (P,), as floats."""
        return self.total(self.rewards.new_ones(len(self)))

    @property
    def counts(self) -> "Tensor":
        """For how many draws each row stands, (B,)."""
        ones = self.rewards.new_ones(len(self))
        return ones if self.multiplicity is None else self.multiplicity

    def total(self, values: "Tensor") -> "Tensor":
        """Sums of a value a row over each group: (B,) to (P,)."""
        return self.summed(values).to(values)

    def summed(self, values: "Tensor") -> "Tensor":
        """Sums in float64: the mean of rewards that are all equal has to be just that reward."""
        wide = values.double()
        return wide.new_zeros(len(self.samples)).index_add(0, self.owner, wide)

    def mean(self, values: "Tensor") -> "Tensor":
        """Means of a value a draw over each group: (B,) to (P,); 0 for a group without rows."""
        counts = self.counts.double()
        drawn = self.summed(counts)
        found = self.summed(values.double() * counts) / drawn.where(drawn > 0, drawn.new_ones(()))
        return found.to(values)

    def std(self, values: "Tensor") -> "Tensor":
        """Unbiased standard deviations of draws, (P,); 0 for groups of fewer than two."""
        apart, counts = values - self.mean(values)[self.owner], self.counts
        return (self.total(apart**2 * counts) / (self.total(counts) - 1).clamp(min=1)).sqrt()

    @property
    def groups(self) -> "list[list[int]]":
        """The rows of each prompt, in their order."""
        found: list[list[int]] = [[] for _ in self.samples]
        for row, owner in enumerate(self.owner.tolist()):
            found[owner].append(row)
        return found

    def take(self, rows: Sequence[int]) -> "Batch":
        """These rows, in this order, one that is named twice twice; the prompts stay."""
        index = self.owner.new_tensor(list(rows))
        return replace(
            self,
            owner=self.owner[index],
            completions=[self.completions[row] for row in rows],
            items=[self.items[row] for row in rows],
            spans=[self.spans[row] for row in rows],
            chance=None if self.chance is None else self.chance[index],
            multiplicity=None if self.multiplicity is None else self.multiplicity[index],
            **{name: getattr(self, name)[index] for name in TENSORS},
        )

    def put(self, row: int, item: str) -> "Batch":
        """The same with the answer that names ``item`` in the place of one row."""
        import torch

        tokens = self.context.answers[item]
        sample = self.samples[int(self.owner[row])]
        wide = max(self.mask.shape[1], len(tokens))
        grown = [torch.nn.functional.pad(x, (0, wide - x.shape[1])) for x in (self.mask, self.old)]
        mask, old = grown
        mask[row], old[row] = 0, 0
        mask[row, : len(tokens)], old[row, : len(tokens)] = 1, float("nan")
        rewards, hits = self.rewards.clone(), self.hits.clone()
        rewards[row] = self.context.pay(sample, tokens)
        hits[row] = item == sample.target

        counts = self.counts.clone()
        counts[row] = 1

        def placed(values: Sequence[Any], value: Any) -> list[Any]:
            return [*values[:row], value, *values[row + 1 :]]

        return replace(
            self,
            completions=placed(self.completions, tokens),
            items=placed(self.items, item),
            spans=placed(self.spans, [(item, 0, len(tokens))]),
            rewards=rewards,
            hits=hits,
            mask=mask,
            old=old,
            multiplicity=None if self.multiplicity is None else counts,
        )


TENSORS = ("rewards", "hits", "mask", "old", "advantages")


def joined(batches: Sequence[Batch]) -> Batch:
    """The rows of several batches as one; charts are those of the first."""
    import torch

    first = batches[0]
    wide = max(batch.mask.shape[1] for batch in batches)
    counts = [0]
    for batch in batches:
        counts.append(counts[-1] + len(batch.samples))

    def padded(values: "Tensor") -> "Tensor":
        return (
            torch.nn.functional.pad(values, (0, wide - values.shape[1]))
            if values.dim() == 2
            else values
        )

    columns: dict[str, Any] = {
        n: torch.cat([padded(getattr(b, n)) for b in batches]) for n in TENSORS
    }
    chances = [batch.chance for batch in batches if batch.chance is not None]
    return replace(
        first,
        samples=[sample for batch in batches for sample in batch.samples],
        owner=torch.cat([b.owner + at for b, at in zip(batches, counts, strict=False)]),
        completions=[c for batch in batches for c in batch.completions],
        items=[item for batch in batches for item in batch.items],
        spans=[spans for batch in batches for spans in batch.spans],
        chance=torch.cat(chances) if len(chances) == len(batches) else None,
        multiplicity=torch.cat([b.counts for b in batches])
        if any(b.multiplicity is not None for b in batches)
        else None,
        **columns,
    )


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Completions with their scores, (N, T): what a loss is taken of.

    ``logps`` are the policy's, with gradients; ``old`` the sampler's; ``ref`` the reference's, None
    where β = 0 and nothing asks for it. ``mask`` is 1 on tokens, ``weights`` what the token weight
    says of each (0 behind the end). ``owner`` (N,) is the place of the prompt in the batch.
    """

    owner: "Tensor"
    logps: "Tensor"
    old: "Tensor"
    ref: "Tensor | None"
    mask: "Tensor"
    weights: "Tensor"

    @property
    def lengths(self) -> "Tensor":
        return self.mask.sum(1)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a policy loss is made of: the batch, and its rows with gradients.

    ``kl`` (B, T) is the estimate of KL(π‖π_ref) by token, None where β = 0. ``beta`` weighs it;
    ``longest`` is the longest completion that there can be, in tokens. ``log_q`` and ``log_ref``
    (B,) are the log-probabilities of rows among their candidates under the policy and under the
    reference: for ``rollout=exhaust`` alone, None elsewhere.
    """

    batch: Batch
    rows: Rows
    beta: float
    longest: int
    kl: "Tensor | None" = None
    log_q: "Tensor | None" = None
    log_ref: "Tensor | None" = None

    @property
    def advantages(self) -> "Tensor":
        """(B, 1), or (B, T) where T is the longest of these rows: longer ones may have gone."""
        found = self.batch.advantages
        return found[:, None] if found.dim() == 1 else found[:, : self.rows.mask.shape[1]]
