"""The expected reward over all candidates of a prompt, through the same trainer."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mllmrec.scoring.book import Book, Pair, pairs_in
from mllmrec.scoring.packed import log_choice
from mllmrec.scoring.trie import Row
from mllmrec.training.rollouts import Enumerating, Groups


class Exact(Enumerating):
    """A group is every candidate once; the loss weighs each by its probability."""

    charts_tokens = False
    by_std: bool  # whether advantages are divided by the rewards' std

    def roll(self, samples: Sequence[Any]) -> Groups:
        self.score(samples)
        return [[list(answer) for answer in row.answers] for row in self.tables.values()]

    def keeps(self, rows: Sequence[Row]) -> bool:
        return self.most(rows) <= self.tokens_per_batch  # all are needed anyway

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        found = super()._calculate_rewards(*args, **kwargs)
        self.paid = (found * self.reward_weights.to(found.device)).nansum(1)  # by row and candidate
        chances = torch.cat([torch.from_numpy(c) for c in self.chances]).to(found)
        self.expected = (found.nan_to_num() * chances[:, None]).sum(0) / len(self.tables)
        return found

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """TRL charts plain means over the group; here they are expectations."""
        made = super()._generate_and_score_completions(inputs)
        charts = self._metrics["train"]
        for name, value in zip(self.reward_func_names, self.expected.tolist(), strict=True):
            charts[f"rewards/{name}/mean"][-1] = value
        charts["reward"][-1] = float(self.expected @ self.reward_weights.to(self.expected.device))
        return made

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: int,
        *_: Any,
        **__: Any,
    ) -> tuple[Tensor, None, None]:
        """What TRL asks for, the reference's, is kept for the loss, which looks at groups."""
        self.held = self.reference(model, [])
        return torch.zeros(len(input_ids), logits_to_keep, device=input_ids.device), None, None

    def reference(self, model: Any, pairs: Sequence[Pair]) -> Book:
        if self.kept is not None:
            return super().reference(model, pairs)
        return self.scored(model, list(self.tables.values()), entropy=False)

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        """−Σ q A + β KL(q ‖ q_ref), the mean over prompts."""
        rows = list(self.tables.values())
        pairs = [pair for row in rows for pair in pairs_in(row)]
        log_q = log_choice(rows, self.policy(model, pairs).of(rows), self.constraint)
        owner = torch.repeat_interleave(torch.tensor([len(row.answers) for row in rows]))
        owner = owner.to(log_q.device)
        q, total = log_q.exp(), log_q.new_zeros(len(rows))

        def expected(values: Tensor) -> Tensor:
            return total.index_add(0, owner, q * values)

        paid = self.paid.to(q)
        advantage = paid - expected(paid).detach()[owner]
        if self.by_std:
            advantage /= expected(advantage**2).detach().sqrt()[owner] + 1e-4
        loss = -expected(advantage).mean()
        charts = self._metrics["train"]
        charts["entropy"].append(-expected(log_q).mean().item())
        if self.beta:
            with torch.no_grad():
                log_ref = log_choice(rows, self.held.of(rows), self.constraint)
            divergence = expected(log_q - log_ref).mean()
            charts["kl"].append(divergence.item())
            loss = loss + self.beta * divergence
        return loss
