"""Log-probabilities of many answers to one prompt, which is read once, with gradients or without.

Rows (a prompt, and its answers as tries) lie one behind the other in one sequence without
padding. Each token sees the prompt of its row and its own ancestors, and its position goes on
from the prompt's end, so the numbers and gradients are those of every answer scored by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mllmrec import ranks
from mllmrec.errors import Refusal
from mllmrec.scoring.attention import UNREAD, Span, positions_of, share_prompts
from mllmrec.scoring.leading import Allowed, leading
from mllmrec.scoring.trie import Row, Tokens, pack


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Of each token of each answer: log-probability and, if asked, entropy, flat.

    The tokens of an answer, the answers of a row and the rows follow each other.
    """

    logps: Tensor
    entropies: Tensor | None

    def moved(self, device: torch.device | str) -> "Scores":
        """Their values on another device."""
        entropies = None if self.entropies is None else self.entropies.detach().to(device)
        return Scores(logps=self.logps.detach().to(device), entropies=entropies)


def joined(found: Sequence[Scores]) -> Scores:
    """The scores of one after the other."""
    spread = [scores.entropies for scores in found if scores.entropies is not None]
    logps = torch.cat([scores.logps for scores in found])
    return Scores(logps=logps, entropies=torch.cat(spread) if spread else None)


def by_row(rows: Sequence[Row], scores: Scores) -> list[Scores]:
    """The scores of each of these rows."""
    sizes = [sum(map(len, row.answers)) for row in rows]
    spread = [None] * len(rows) if scores.entropies is None else scores.entropies.split(sizes)
    pairs = zip(scores.logps.split(sizes), spread, strict=True)
    return [Scores(logps=logps, entropies=entropies) for logps, entropies in pairs]


def answer_logps(
    model: Any,
    prompts: Sequence[Tokens],
    answers: Sequence[Sequence[Tokens]],
    tokens_per_batch: int,
    progress: Callable[[int], object] | None = None,
) -> list[list[float]]:
    """log p(answer | prompt), summed over its tokens, for every answer of every prompt.

    ``model`` is a causal language model of transformers under this package's attention, or a
    PEFT model around one; ``answers[i]`` are the answers to ``prompts[i]``, each with its end of
    turn. Batches hold up to ``tokens_per_batch`` tokens, and one row at least; ``progress`` is
    called with the number of prompts just done. Results are in nats, from logits taken to
    float32, in the order of the input. Raises ValueError for a prompt or an answer without
    tokens, and Refusal for a model whose attention sees otherwise or a row beyond its length.
    """
    rows = [pack(prompt, these) for prompt, these in zip(prompts, answers, strict=True)]
    found: dict[int, list[float]] = {}
    training = model.training
    model.eval()
    try:
        for batch, together in ranks.rounds(batches(rows, tokens_per_batch)):
            with reading():
                logps = token_logps(model, [rows[i] for i in batch]).logps.double().cpu().numpy()
            found |= zip(batch, per_answer([rows[i] for i in batch], logps), strict=True)
            if progress:
                progress(sum(map(len, together)))
    finally:
        model.train(training)
    found = ranks.merged(found)
    return [found[i] for i in range(len(rows))]


def reading() -> Any:
    """The context of a forward pass without gradients; sharded weights are not for inference's."""
    return torch.no_grad() if ranks.here().sharding else torch.inference_mode()


def batches(rows: Sequence[Row], budget: int) -> Iterator[list[int]]:
    """Indices of rows up to a number of tokens, as ``fitting``."""
    return fitting([row.size for row in rows], budget)


def fitting(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices up to a total size; largest first: memory runs out at once or never."""
    batch: list[int] = []
    total = 0
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if batch and total + sizes[i] > budget:
            yield batch
            batch, total = [], 0
        batch.append(i)
        total += sizes[i]
    if batch:
        yield batch


def token_logps(
    model: Any,
    rows: Sequence[Row],
    temperature: float = 1.0,
    entropy: bool = False,
    allowed: Sequence[Allowed] | None = None,
) -> Scores:
    """log π(token | what precedes it) for every token of every answer, in one forward.

    The output head is applied where an answer's token follows, and nowhere else. With ``allowed``,
    a trie a row that has its answers and more, π is renormalised at each token over those that lead
    on in it, as a decoder that is held to it draws; entropies are those of the renormalised π.
    """
    logits = logits_of(model, rows)
    logits = logits / temperature if temperature != 1 else logits
    held = None if allowed is None else leading(rows, allowed, logits.device)
    total = logits.logsumexp(-1) if held is None else held.log_mass(logits)
    nodes, tokens = terms(rows, logits.device)
    entropies = None
    if entropy:
        with torch.no_grad():
            if held is None:
                spread = total - ((logits - total[:, None]).exp() * logits).sum(-1)
            else:
                spread = held.entropies(logits, total)
            entropies = spread[nodes]
    return Scores(logps=logits[nodes, tokens] - total[nodes], entropies=entropies)


def logits_of(model: Any, rows: Sequence[Row]) -> Tensor:
    """The logits behind every node of the rows, (nodes, V), in float32, in one forward."""
    share_prompts(model)
    check_room(model, max(row.depth for row in rows))
    ids, positions, spans, heads = lay_out(rows, model.device, model.dtype)
    fed = {"input_ids": ids}
    if any(row.noise for row in rows):
        fed = {"inputs_embeds": noised(model, rows, ids, heads)}
    return (
        model(
            **fed,
            position_ids=positions,
            attention_mask=torch.ones(UNREAD, dtype=torch.bool, device=ids.device),
            spans=spans,
            logits_to_keep=heads,
            use_cache=False,
        )
        .logits[0]
        .float()
    )


def noised(model: Any, rows: Sequence[Row], ids: Tensor, heads: Tensor) -> Tensor:
    """The input embeddings, (1, T, d), with the noise of rows that have some, times their own rms.

    ``heads`` are the columns of the rows' nodes. Noise and its scale have no gradient.
    """
    embedded: Tensor = model.get_input_embeddings()(ids)
    columns: list[int] = []
    found = []
    first = 0
    for row in rows:
        if row.noise:
            columns += [first + path[0] for path in row.paths]
            found.append(torch.from_numpy(row.noise.drawn(embedded.shape[-1])))
        first += row.nodes
    places = heads[torch.tensor(columns, device=heads.device)]
    scale = embedded[:, places].detach().float().square().mean(-1, keepdim=True).sqrt()
    shift = torch.cat(found).to(embedded.device) * scale
    return embedded.index_add(1, places, shift.to(embedded.dtype))


def lay_out(
    rows: Sequence[Row], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, list[Span], Tensor]:
    """Ids and positions (1, T) of the rows, where they lie, and the columns of their nodes."""
    ids: list[int] = []
    positions: list[int] = []
    heads: list[int] = []
    spans = []
    for row in rows:
        width = len(row.prompt) - 1
        start, stop = len(ids), len(ids) + width
        ids += row.body
        positions += range(width)
        tries = []
        for trie in row.tries:
            first = len(ids)
            ids += trie.tokens
            positions += [width + depth for depth in trie.depth]
            heads += range(first, len(ids))
            sees = np.pad(trie.sees(), ((0, 0), (width, 0)), constant_values=True)
            bias = torch.zeros(sees.shape, dtype=dtype, device=device)
            bias.masked_fill_(~torch.from_numpy(sees).to(device), -torch.inf)
            tries.append((first, len(ids), bias))
        spans.append(Span(start=start, stop=stop, tries=tries))
    made = (torch.tensor(numbers, device=device) for numbers in (ids, positions, heads))
    flat, places, columns = made
    return flat[None], places[None], spans, columns


def terms(rows: Sequence[Row], device: torch.device) -> tuple[Tensor, Tensor]:
    """For each token of each answer: the node that it follows, among those of all rows; itself."""
    nodes: list[int] = []
    tokens: list[int] = []
    first = 0
    for row in rows:
        for path, answer in zip(row.paths, row.answers, strict=True):
            nodes += [first + node for node in path]
            tokens += answer
        first += row.nodes
    return torch.tensor(nodes, device=device), torch.tensor(tokens, device=device)


def log_choice(rows: Sequence[Row], logps: Tensor, by: Literal["token", "sequence"]) -> Tensor:
    """log q of every answer of every row, flat: the policy that can only give these answers.

    ``logps`` are those of ``token_logps``. By ``token``, each token is drawn among those that lead
    on to an answer: what a constrained decoder samples. By ``sequence``, q ∝ π(answer): what is
    left of free sampling when all else is thrown away. Both sum to 1 over the answers of a row.
    """
    lengths = [len(answer) for row in rows for answer in row.answers]
    answer = torch.arange(len(lengths), device=logps.device)
    answer = answer.repeat_interleave(torch.tensor(lengths, device=logps.device))
    if by == "token":
        logps = logps - among_children(rows, logps)
    sums = logps.new_zeros(len(lengths)).index_add(0, answer, logps)
    if by == "sequence":
        sizes = [len(row.answers) for row in rows]
        sums = torch.cat([part.log_softmax(0) for part in sums.split(sizes)])
    return sums


def among_children(rows: Sequence[Row], logps: Tensor) -> Tensor:
    """For each term, log Σ π(token) over the tokens that may follow what precedes it."""
    nodes, tokens = terms(rows, logps.device)
    same, first = [], 0
    for row in rows:
        same += [first + node for node in row.beginnings()]
        first += row.nodes
    nodes = torch.tensor(same, device=logps.device)[nodes]
    _, child = torch.stack([nodes, tokens]).unique(dim=1, return_inverse=True)
    step = torch.arange(len(child), device=logps.device)
    one = step.new_full((int(child.max()) + 1,), len(child)).scatter_reduce(0, child, step, "amin")
    top = logps.detach().new_full((first,), -torch.inf)
    top = top.scatter_reduce(0, nodes, logps.detach(), "amax")
    mass = logps.new_zeros(first).index_add(0, nodes[one], (logps[one] - top[nodes[one]]).exp())
    return (mass[nodes]).log() + top[nodes]


def per_answer(rows: Sequence[Row], values: Any) -> list[list[float]]:
    """Sums over each answer's tokens, by row; ``values`` is flat, in float64."""
    found, at = [], 0
    for row in rows:
        ends = at + np.cumsum([0, *map(len, row.answers)])
        found.append(np.add.reduceat(values[: ends[-1]], ends[:-1]).tolist() if row.answers else [])
        at = int(ends[-1])
    return found


def check_room(model: Any, longest: int) -> None:
    """Refuse more positions than the model has: nothing is ever cut in silence."""
    limit = positions_of(model)
    if longest > limit:
        raise Refusal(
            f"a prompt with its answer is {longest} tokens long, the model takes {limit}",
            allowed="prompts within the model's limit",
            do="type prompt.too_long=drop_oldest, or a smaller prepare.history_length",
        )
