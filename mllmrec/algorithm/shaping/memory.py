"""Advantages shifted by how like a completion is to what once was right for a like history."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mllmrec.algorithm.base import Shaping, State
from mllmrec.algorithm.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor

Entry = list[Any]  # a sample that was hit: its id, its history, the hit item


class Memory(Shaping):
    """A ← A + ξ_t U, where U comes of the hits of earlier steps on other samples.

    U_i = max(0, max_m sim(x, x_m)·cos(e(o_i), e(item_m))) over the ``k`` memories m nearest to the
    prompt x, less its mean over the group where ``center`` (else all of a group are shifted alike).
    x is the mean vector of a history's items, sim the cosine, 0 where it is negative. A completion
    that names no item has U 0, of a list its first item counts. ξ_t = ``xi``·(1 − t/T) at step t of
    T (``decay=linear``), or ``xi`` throughout (``none``).

    A step's hits enter the memory after it was asked; it holds ``size`` samples, each with its
    latest hit, and forgets the oldest. A sample's own hit is never its memory: it would tell its
    target. This is a soft reward of collaborative filtering: watch for reward hacking, a reward
    that grows while the probe's NDCG does not.

    After memory-based advantage shaping, arXiv 2602.17931 (sub-goals and trajectories in PPO);
    this form for recommendation is our definition.
    """

    size: Annotated[int, Field(ge=1)]
    k: Annotated[int, Field(ge=1)]
    xi: Annotated[float, Field(gt=0)]
    decay: Literal["linear", "none"]
    center: bool

    def __call__(self, batch: Batch, state: State) -> "Tensor":
        if not len(batch):
            return batch.advantages
        known: list[Entry] = state.setdefault("hits", [])
        weight = self.xi
        if self.decay == "linear":
            weight *= max(0.0, 1 - batch.step / batch.context.max_steps)
        likes, asked = self.likes(batch, known)
        if self.center:
            likes = likes - batch.mean(likes)[batch.owner]
        batch.charts.update(
            {
                "shaping/memory/size": float(len(known)),
                "shaping/memory/asked": asked,
                "shaping/memory/xi": weight,
                "shaping/memory/shift": float((weight * likes).abs().mean()),
            }
        )
        state["hits"] = self.grown(batch, known)
        table = batch.advantages.view(len(batch), -1)
        return (table + (weight * likes).to(table)[:, None]).view_as(batch.advantages)

    def likes(self, batch: Batch, known: Sequence[Entry]) -> tuple["Tensor", float]:
        """U of each row, (B,), and the share of prompts that had a memory."""
        found = batch.rewards.new_zeros(len(batch))
        if not known:
            return found, 0.0
        vectors = batch.context.vectors
        named = vectors([item or "" for item in batch.items]).to(found)
        right = vectors([item for _, _, item in known]).to(found)
        asked = 0
        like = means(batch, [list(sample.history) for sample in batch.samples])
        past = means(batch, [history for _, history, _ in known])
        for n, (sample, rows) in enumerate(zip(batch.samples, batch.groups, strict=True)):
            others = [m for m, (id, _, _) in enumerate(known) if id != sample.id]
            if not (others and rows):
                continue
            asked += 1
            others.reverse()  # among equals the latest
            sims, order = (past[others] @ like[n]).sort(descending=True, stable=True)
            nearest = found.new_tensor(others, dtype=batch.owner.dtype)[order[: self.k]]
            pairs = named[rows] @ right[nearest].T * sims[: self.k].clamp(min=0)
            found[rows] = pairs.amax(1).clamp(min=0)
        return found, asked / max(1, len(batch.samples))

    def grown(self, batch: Batch, known: Sequence[Entry]) -> list[Entry]:
        """The memory with the hits of this step, at most ``size``, the latest last."""
        entries: dict[str, Entry] = {entry[0]: entry for entry in known}
        for row in batch.hits.nonzero()[:, 0].tolist():
            sample = batch.samples[int(batch.owner[row])]
            entries.pop(sample.id, None)
            entries[sample.id] = [sample.id, list(sample.history), sample.target]
        return list(entries.values())[-self.size :]


def means(batch: Batch, histories: Sequence[Sequence[str]]) -> "Tensor":
    """The mean vectors of histories, of unit length, (n, d); 0 for one without items."""
    items = ["", *sorted({item for history in histories for item in history})]  # "" is none
    places = {item: n for n, item in enumerate(items)}
    vectors = batch.context.vectors(items).to(batch.rewards)
    found = vectors.new_zeros(len(histories), vectors.shape[-1])
    for n, history in enumerate(histories):
        if history:
            found[n] = vectors[[places[item] for item in history]].mean(0)
    return found / found.norm(dim=1, keepdim=True).clamp(min=1e-12)
