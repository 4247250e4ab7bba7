"""Log-probabilities of many completions of few prompts, with gradients, each prompt read once.

A row is a prompt and behind it its distinct completions, side by side; a completion's tokens see
the prompt and their own beginning, and their positions go on from the prompt's end. The numbers
and gradients are those of each completion scored by itself.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Layout:
    """B distinct prompts of P columns, left-padded, each with up to S tokens of completions.

    ``ids``, ``positions``: (B, P + S); ``mask``: (B, 1, P + S, P + S), True where attended;
    ``prompt``: for each of R given rows its prompt; ``columns``: (R, K), where among the last
    S + 1 columns the distribution of the row's token stands.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    prompt: Tensor
    columns: Tensor
    suffix: int


def lay_out(
    prompt_ids: Tensor, prompt_mask: Tensor, completion_ids: Tensor, completion_mask: Tensor
) -> Layout:
    """Find what rows share; prompts (R, P) left-padded, completions (R, K) right-padded."""
    width = prompt_ids.shape[1]
    both = torch.cat([prompt_ids, prompt_mask], dim=1)
    prompts, prompt = torch.unique(both, dim=0, return_inverse=True)
    fed: list[list[tuple[int, int, int]]] = [[] for _ in prompts]  # (token, completion, depth)
    begins: dict[tuple[int, ...], int] = {}
    columns = torch.zeros_like(completion_ids)
    for row, group in enumerate(prompt.tolist()):
        tokens = completion_ids[row][completion_mask[row].bool()].tolist()
        key = (group, *tokens)
        if key not in begins:
            begins[key] = len(fed[group])
            fed[group] += [(token, begins[key], depth) for depth, token in enumerate(tokens[:-1])]
        for place in range(1, len(tokens)):
            columns[row, place] = begins[key] + place
    suffix = max(map(len, fed))
    padded = [row + [(0, -1, 0)] * (suffix - len(row)) for row in fed]
    extra = torch.tensor(padded, dtype=torch.long, device=prompt_ids.device)
    extra = extra.view(len(prompts), suffix, 3)
    ids, valid = prompts[:, :width], prompts[:, width:].bool()
    lengths = valid.sum(1, keepdim=True)
    return Layout(
        ids=torch.cat([ids, extra[..., 0]], dim=1),
        positions=torch.cat([(valid.cumsum(1) - 1).clamp(min=0), lengths + extra[..., 2]], dim=1),
        mask=attention(valid, extra[..., 1])[:, None],
        prompt=prompt,
        columns=columns,
        suffix=suffix,
    )


def attention(valid: Tensor, completion: Tensor) -> Tensor:
    """Who sees whom, (B, L, L), by valid prompt columns (B, P) and completions' numbers (B, S)."""
    number = torch.cat([torch.where(valid, -2, -1), completion], dim=1)  # −2 prompt, −1 padding
    query, key = number[:, :, None], number[:, None, :]
    causal = torch.ones(number.shape[1], number.shape[1], dtype=torch.bool, device=number.device)
    seen = causal.tril() & ((key == -2) | (query == key)) & (key != -1)
    return seen | torch.eye(number.shape[1], dtype=torch.bool, device=number.device)


def completion_logps(
    model: Any,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    completion_ids: Tensor,
    completion_mask: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """log π(token | what precedes it) and the entropy of each distribution, both (R, K).

    ``model`` is a causal language model of transformers under sdpa attention, or a PEFT model
    around one. Where ``completion_mask`` is 0 the numbers mean nothing.
    """
    layout = lay_out(prompt_ids, prompt_mask, completion_ids, completion_mask)
    logits = model(
        input_ids=layout.ids,
        attention_mask=layout.mask,
        position_ids=layout.positions,
        logits_to_keep=layout.suffix + 1,
        use_cache=False,
    ).logits
    every = (logits.float() / temperature).log_softmax(-1)
    entropy = -(every.detach().exp() * every.detach()).sum(-1)
    where = (layout.prompt[:, None], layout.columns)
    return every[(*where, completion_ids)], entropy[where]
