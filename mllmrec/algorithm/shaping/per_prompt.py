"""Advantages scaled by how hard a prompt is and how far the policy is from its own best there."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mllmrec.algorithm.base import Shaping, State
from mllmrec.algorithm.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor


class PerPrompt(Shaping):
    """A ← α(q)·A with α = α^D (``hardness``), α^M (``responsiveness``) or α^D·α^M (``product``).

    Hardness: α^D = σ(δ_q)/σ(δ̄), δ_q = 1 − mean_i cos(e(o_i), e(y*)), δ̄ its mean over the prompts
    of the step; a completion that names no item has cos 0, of a list its first item counts.
    Responsiveness: α^M = σ(g_q)/σ(ḡ). A visit's gap is R* − mean_i R_i, R* the best reward of the
    group, over rows with (R_i − R̄)² ≤ ``tau``; g_q is the mean gap of all visits to this prompt, ḡ
    that of all visits to all prompts, this step's included. Where no row is within ``tau`` the
    visit does not count, and a prompt that has none has α^M = 1. α is clipped to [``least``,
    ``most``]. Groups of zero advantage stay so, whatever α (charted as ``idle``).

    DR-IRL, arXiv 2503.18991, multiplies GRPO's advantage by the product, for safety, with reward
    models of its own; this form for recommendation, and the clip, are our definition.
    """

    mode: Literal["hardness", "responsiveness", "product"]
    tau: Annotated[float, Field(gt=0)]
    least: Annotated[float, Field(gt=0, le=1)]
    most: Annotated[float, Field(ge=1)]

    def __call__(self, batch: Batch, state: State) -> "Tensor":
        if not len(batch):
            return batch.advantages
        raw = batch.rewards.new_ones(len(batch.samples))
        if self.mode != "responsiveness":
            raw = raw * hardness(batch)
        if self.mode != "hardness":
            raw = raw * responsiveness(batch, self.tau, state)
        alpha = raw.clamp(self.least, self.most)
        there = batch.sizes > 0
        table = batch.advantages.view(len(batch), -1)
        moved = batch.total(table.abs().sum(1).to(raw))
        batch.charts.update(
            {
                "shaping/per_prompt/alpha": float(alpha[there].mean()),
                "shaping/per_prompt/clipped": float((alpha != raw)[there].float().mean()),
                "shaping/per_prompt/idle": float((moved == 0)[there].float().mean()),
            }
        )
        scaled = table * alpha[batch.owner, None].to(table)
        return scaled.view_as(batch.advantages)


def hardness(batch: Batch) -> "Tensor":
    """α^D of each prompt, (P,)."""
    vectors = batch.context.vectors
    named = vectors([item or "" for item in batch.items]).to(batch.rewards)
    targets = vectors([sample.target for sample in batch.samples]).to(batch.rewards)
    delta = 1 - batch.mean((named * targets[batch.owner]).sum(1))
    return delta.sigmoid() / delta[batch.sizes > 0].mean().sigmoid()


def responsiveness(batch: Batch, tau: float, state: State) -> "Tensor":
    """α^M of each prompt, (P,); ``state`` gets this step's visits."""
    prompts = state.setdefault("prompts", {})  # by sample: how many visits, their mean gap
    everyone = state.setdefault("all", [0, 0.0])
    for sample, rows in zip(batch.samples, batch.groups, strict=True):
        rewards = batch.rewards[rows].double()
        kept = rewards[(rewards - rewards.mean()) ** 2 <= tau] if rows else rewards
        if len(kept):
            gap = float(rewards.max() - kept.mean())
            prompts[sample.id] = averaged(prompts.get(sample.id, [0, 0.0]), gap)
            everyone = averaged(everyone, gap)
    state["all"] = everyone
    gaps = [prompts.get(sample.id, everyone)[1] for sample in batch.samples]
    mean = batch.rewards.new_tensor(everyone[1])
    return batch.rewards.new_tensor(gaps).sigmoid() / mean.sigmoid()


def averaged(known: list[float], value: float) -> list[float]:
    """A count and its mean, with one value more."""
    count, mean = known
    return [count + 1, mean + (value - mean) / (count + 1)]
