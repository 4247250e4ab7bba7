"""Log-probabilities of many answers to one prompt, which is read once.

The prompt goes through the model once and leaves its keys and values. The answers follow as one
packed row, their trie in depth-first order: a beginning that answers share is computed once, and
the last token of an answer is not fed at all. Each token sees the prompt and its own ancestors,
and its position goes on from the prompt's end, so the numbers are those of every answer scored
by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
import torch

from mllmrec.errors import Refusal

Tokens = Sequence[int]
NODES = 512  # of one packed row: attention among branches that do not see each other is waste


@dataclass(kw_only=True)
class Trie:
    """Answers below the last token of a prompt, which is node 0.

    Node n has token ``tokens[n]`` and lies ``depth[n]`` below node 0; its descendants are the
    nodes from n + 1 up to, not including, ``ends[n]``. ``terms`` lists (node, token, answer): an
    answer is scored by the sum of its log p(token | node).
    """

    tokens: list[int]
    depth: list[int] = field(default_factory=lambda: [0])
    ends: list[int] = field(default_factory=lambda: [1])
    terms: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, path: list[int], answer: Tokens, index: int) -> None:
        """Add an answer; ``path`` has the nodes of the one before, and then those of this one."""
        shared = 1
        while shared < min(len(path), len(answer)):
            if self.tokens[path[shared]] != answer[shared - 1]:
                break
            shared += 1
        del path[shared:]
        for token in answer[shared - 1 : -1]:
            self.depth.append(len(path))
            path.append(len(self.tokens))
            self.tokens.append(token)
            self.ends.append(0)
        for node in path:
            self.ends[node] = len(self.tokens)
        self.terms.extend(zip(path, answer, [index] * len(answer), strict=True))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A prompt but for its last token, and its answers as tries of bounded size."""

    prompt: Tokens
    tries: list[Trie]
    answers: int

    @property
    def nodes(self) -> int:
        return max((len(trie.tokens) for trie in self.tries), default=0)


def answer_logps(
    model: Any,
    prompts: Sequence[Tokens],
    answers: Sequence[Sequence[Tokens]],
    pad_id: int,
    tokens_per_batch: int,
    progress: Callable[[int], object] | None = None,
) -> list[list[float]]:
    """log p(answer | prompt), summed over its tokens, for every answer of every prompt.

    ``model`` is a causal language model of transformers under sdpa attention, or a PEFT model
    around one; ``answers[i]`` are the answers to ``prompts[i]``, each with its end of turn.
    Batches hold rows of like length, up to ``tokens_per_batch`` tokens with padding, and one row
    at least; ``progress`` is called with the number of prompts just done. Results are in nats,
    from logits taken to float32, in the order of the input. Raises ValueError for a prompt or
    an answer without tokens, and Refusal for a model whose attention takes no such mask.
    """
    _check_attention(model)
    rows = [pack(prompt, these, NODES) for prompt, these in zip(prompts, answers, strict=True)]
    results: list[list[float]] = [[] for _ in rows]
    training = model.training
    model.eval()
    try:
        for batch in batches(rows, tokens_per_batch):
            sums = _score([rows[i] for i in batch], model, pad_id)
            for i, scores in zip(batch, sums, strict=True):
                results[i] = scores
            if progress:
                progress(len(batch))
    finally:
        model.train(training)
    return results


def pack(prompt: Tokens, answers: Sequence[Tokens], nodes: int) -> Row:
    """Lay out a prompt and its answers, beginning a new trie when one has so many nodes."""
    if not len(prompt) or not all(map(len, answers)):
        raise ValueError("a prompt or an answer has no tokens")
    tries: list[Trie] = []
    path: list[int] = []
    # Sorted, answers with a beginning in common are neighbours, so nodes come depth first.
    for answer, index in sorted((tuple(answer), i) for i, answer in enumerate(answers)):
        if not tries or len(tries[-1].tokens) >= nodes:
            tries.append(Trie(tokens=[prompt[-1]]))
            path = [0]
        tries[-1].add(path, answer, index)
    return Row(prompt=prompt[:-1], tries=tries, answers=len(answers))


def batches(rows: Sequence[Row], budget: int) -> Iterator[list[int]]:
    """Indices of rows of like length; longest first, so that memory runs out at once or never."""
    batch: list[int] = []
    prompt = nodes = 0
    for i in sorted(range(len(rows)), key=lambda i: (-len(rows[i].prompt), -rows[i].nodes, i)):
        prompt, nodes = max(prompt, len(rows[i].prompt)), max(nodes, rows[i].nodes)
        if batch and (len(batch) + 1) * (prompt + nodes) > budget:
            yield batch
            batch, prompt, nodes = [], len(rows[i].prompt), rows[i].nodes
        batch.append(i)
    if batch:
        yield batch


@torch.inference_mode()
def _score(rows: Sequence[Row], model: Any, pad_id: int) -> list[list[float]]:
    """Sums for the rows of one batch: read the prompts, then every row's first trie, and so on."""
    sums = [np.zeros(row.answers) for row in rows]
    # Padding is on the right, where a causal model never sees it, so no mask is needed here: the
    # fused kernels then skip the upper half. One column at least, as an empty one is no input.
    width = max(1, max(len(row.prompt) for row in rows))
    prompts = torch.full((len(rows), width), pad_id)
    for ids, row in zip(prompts, rows, strict=True):
        ids[: len(row.prompt)] = torch.as_tensor(row.prompt)
    read = model(input_ids=prompts.to(model.device), use_cache=True, logits_to_keep=1)
    cache = read.past_key_values
    empty = Trie(tokens=[pad_id])
    for tries in zip_longest(*(row.tries for row in rows), fillvalue=empty):
        ids, positions, mask = _layout(rows, tries, width, pad_id)
        logits = model(
            input_ids=ids.to(model.device),
            position_ids=positions.to(model.device),
            attention_mask=mask.to(model.device),
            past_key_values=cache,
            use_cache=True,
        ).logits
        cache.crop(-ids.shape[1])
        for total, trie, kept in zip(sums, tries, logits, strict=True):
            _add_terms(total, trie, kept)
    return [total.tolist() for total in sums]


def _layout(
    rows: Sequence[Row], tries: Sequence[Trie], width: int, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids and positions (B, S) of the tries, and what they see: bool (B, 1, S, width + S).

    Depth first, node i sees node j ≤ i just where i < ends[j]: no walk over ancestors.
    """
    nodes = max(len(trie.tokens) for trie in tries)
    ids = np.full((len(rows), nodes), pad_id)
    positions = np.zeros((len(rows), nodes), dtype=np.int64)
    ends = np.tile(np.arange(1, nodes + 1), (len(rows), 1))  # padding is seen by itself only
    for b, (row, trie) in enumerate(zip(rows, tries, strict=True)):
        size = len(trie.tokens)
        ids[b, :size], ends[b, :size] = trie.tokens, trie.ends
        positions[b, :size] = len(row.prompt) + np.array(trie.depth)
    step = np.arange(nodes)
    among = (step <= step[:, None]) & (step[:, None] < ends[:, None, :])
    lengths = np.array([len(row.prompt) for row in rows])
    above = np.arange(width) < lengths[:, None, None]
    above = np.broadcast_to(above, (len(rows), nodes, width))
    mask = torch.from_numpy(np.concatenate([above, among], axis=2))[:, None]
    return torch.from_numpy(ids), torch.from_numpy(positions), mask


def _add_terms(total: np.ndarray, trie: Trie, logits: torch.Tensor) -> None:
    """Add a trie's terms to its answers, in float64 so that their order hardly matters."""
    if not trie.terms:
        return
    node, token, answer = np.array(trie.terms).T
    logps = logits[: len(trie.tokens)].float().log_softmax(-1)[node, token]
    total += np.bincount(answer, logps.double().cpu().numpy(), minlength=len(total))


def _check_attention(model: Any) -> None:
    found = model.config._attn_implementation
    if found != "sdpa":
        raise Refusal(
            f"the model runs {found} attention, which takes no mask of one bit a pair",
            allowed="sdpa attention",
            do="load it with attn_implementation='sdpa'",
        )
    text = model.config.get_text_config()
    kinds = {*(getattr(text, "layer_types", None) or [])} - {"full_attention"}
    # with layer_types they alone decide; a window of theirs is for layers of that kind
    if not getattr(text, "layer_types", None) and getattr(text, "sliding_window", None):
        kinds = {"sliding_attention"} if getattr(text, "use_sliding_window", True) else set()
    if kinds:
        raise Refusal(
            f"the model has layers of {', '.join(sorted(kinds))}, which one mask would not suit",
            allowed="a model whose layers all have full attention, such as Qwen3 or Llama",
            do="type backbone=qwen3_0_6b, or backbone.path=DIR with such a model",
        )
