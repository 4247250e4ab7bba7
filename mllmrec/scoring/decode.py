"""Answers written token by token, where a prompt is read once for all that is written to it.

The prompt leaves its keys and values in a cache. Then each step feeds the last tokens of a
prompt's continuations side by side, as one row: a continuation sees its prompt and its own
tokens, by a mask, and the cache grows by a column for each of them. Nothing is ever copied per
continuation; and where beams go on from others, rows of the mask change places, the cache stays.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mllmrec import ranks
from mllmrec.scoring.attention import share_prompts
from mllmrec.scoring.choosers import Beams, Chooser, Draw, Node, Rollouts, Written, nested
from mllmrec.scoring.packed import check_room, reading
from mllmrec.scoring.trie import Tokens


def sample(
    model: Any,
    prompts: Sequence[Tokens],
    seeds: Sequence[Sequence[int]],
    *,
    ends: Collection[int],
    pad_id: int,
    room: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    answers: Sequence[Sequence[Tokens]] | None = None,
    trie_of: Callable[[int], Node] | None = None,
    tokens_per_batch: int,
) -> list[list[Written]]:
    """One continuation of prompt i for each of ``seeds[i]``, of up to ``room`` tokens.

    Token t is drawn by the t-th number of its own seed's generator, so it depends on the model,
    the prompt and the seed: not on its company, up to rounding. With ``answers`` (those to prompt
    i, each with its end of turn) only tokens that lead on in their trie are drawn, p renormalised
    at each token; ``trie_of`` gives that trie itself, asked for when the turn of prompt i comes. As
    in transformers the constraint comes first, then the temperature, then ``top_p``. Raises
    ValueError for an empty prompt, for a prompt without answers, and for one of ``answers`` that
    is longer than ``room`` or has an end of turn elsewhere than at its end; and Refusal as
    ``share_prompts``.
    """
    if answers is not None:
        trie_of = [nested(these, ends, room) for these in answers].__getitem__

    def begin(batch: list[int]) -> Rollouts:
        of = [seeds[i] for i in batch]
        pick = Draw(of, room, top_p, [*map(trie_of, batch)] if trie_of else None, pad_id)
        return Rollouts(pick, [len(row) for row in of], ends, pad_id, temperature)

    columns = [len(row) * room for row in seeds]
    return decode(model, prompts, columns, begin, room, pad_id, tokens_per_batch)


def greedy(
    model: Any,
    prompts: Sequence[Tokens],
    *,
    ends: Collection[int],
    pad_id: int,
    room: int,
    tokens_per_batch: int,
    progress: Callable[[int], object] | None = None,
) -> list[Written]:
    """The most probable token after each other, up to ``room`` of them or an end.

    ``progress`` is called with the number of prompts just done. Raises as ``sample`` does.
    """

    def begin(batch: list[int]) -> Rollouts:
        return Rollouts(partial(torch.argmax, dim=-1), [1] * len(batch), ends, pad_id)

    columns = [room] * len(prompts)
    found = decode(model, prompts, columns, begin, room, pad_id, tokens_per_batch, progress)
    return [written for (written,) in found]


def beams(
    model: Any,
    prompts: Sequence[Tokens],
    answers: Sequence[Sequence[Tokens]],
    width: int,
    *,
    pad_id: int,
    tokens_per_batch: int,
) -> list[list[Written]]:
    """The ``width`` best distinct answers to each prompt that a beam search finds, best first.

    They are ordered by log p(answer | prompt) under the whole vocabulary; an answer that is
    complete keeps its place among the others by it. With as many beams as answers it is the exact
    ranking. Raises ValueError for fewer distinct answers than ``width``, and as ``sample`` does.
    """
    if any(len({tuple(answer) for answer in these}) < width for these in answers):
        raise ValueError(f"fewer distinct answers than {width} beams")
    ends = {answer[-1] for these in answers for answer in these if len(answer)}
    room = max((len(answer) for these in answers for answer in these), default=0)
    tries = [nested(these, ends, room) for these in answers]
    return searched(
        model,
        prompts,
        tries.__getitem__,
        width,
        room=room,
        pad_id=pad_id,
        tokens_per_batch=tokens_per_batch,
    )


def searched(
    model: Any,
    prompts: Sequence[Tokens],
    trie_of: Callable[[int], Node],
    width: int,
    *,
    room: int,
    pad_id: int,
    tokens_per_batch: int,
    progress: Callable[[int], object] | None = None,
) -> list[list[Written]]:
    """As ``beams``, over tries of answers of up to ``room`` tokens: that of prompt i is asked for
    when its turn comes. Fewer than ``width`` are found where there are no more.
    """

    def begin(batch: list[int]) -> Beams:
        return Beams([trie_of(i) for i in batch], width, pad_id)

    columns = [width * room] * len(prompts)
    return decode(model, prompts, columns, begin, room, pad_id, tokens_per_batch, progress)


def decode(
    model: Any,
    prompts: Sequence[Tokens],
    columns: Sequence[int],
    begin: Callable[[list[int]], Chooser],
    room: int,
    pad_id: int,
    tokens_per_batch: int,
    progress: Callable[[int], object] | None = None,
) -> list[list[Written]]:
    """What the choosers that ``begin`` makes for batches of prompts write, up to ``room`` tokens.

    ``columns[i]`` is the most that prompt i's continuations add to its row.
    """
    share_prompts(model)
    if not all(map(len, prompts)):
        raise ValueError("a prompt has no tokens")
    check_room(model, max(map(len, prompts), default=0) + room - 1)
    found: dict[int, list[Written]] = {}
    fitting = batches([len(prompt) for prompt in prompts], columns, tokens_per_batch)
    with evaluating(model), reading():
        for batch, together in shared(fitting):
            choose = begin(batch)
            state = State(model, [prompts[i] for i in batch], pad_id)
            parents: Tensor | None = None
            tokens = torch.tensor([[prompts[i][-1]] for i in batch])
            for _ in range(room):
                following = choose(state.feed(parents, tokens))
                if following is None:
                    break
                parents, tokens = following
            found |= zip(batch, choose.written(), strict=True)
            if progress:
                progress(sum(map(len, together)))
    found = ranks.merged(found)
    return [found[i] for i in range(len(prompts))]


def shared(
    fitting: Iterator[list[int]],
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """The batches of this rank; all of them where weights are sharded.

    How many steps a batch takes is known when it is written: ranks with batches of their own
    would not go forward together.
    """
    if ranks.here().sharding:
        return ((batch, [batch]) for batch in fitting)
    return ranks.rounds(fitting)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Dropout off, and gradient checkpointing, which would drop the cache, off with it."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def batches(lengths: Sequence[int], columns: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of prompts of like length, longest first, as many as fit with what they grow by."""
    batch: list[int] = []
    most = 0
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], -columns[i], i)):
        most = max(most, columns[i])
        if batch and (len(batch) + 1) * (lengths[batch[0]] + most) > budget:
            yield batch
            batch, most = [], columns[i]
        batch.append(i)
    if batch:
        yield batch


class State:
    """B prompts, read but for their last tokens, and what their continuations have fed.

    ``seen`` (B, G, columns) says which of the cache's columns each continuation sees.
    """

    def __init__(self, model: Any, prompts: Sequence[Tokens], pad_id: int) -> None:
        # Padding is on the right, where a causal model never sees it, so no mask is needed here.
        # One column at least, as an empty one is no input.
        lengths = torch.tensor([len(prompt) - 1 for prompt in prompts])
        width = max(1, int(lengths.max()))
        ids = torch.full((len(prompts), width), pad_id)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt) - 1] = torch.as_tensor(prompt[:-1])
        self.model = model
        self.seen = (torch.arange(width) < lengths[:, None])[:, None].to(model.device)
        self.position = lengths[:, None].to(model.device)  # of the tokens that are fed next
        self.cache = model(
            input_ids=ids.to(model.device), use_cache=True, logits_to_keep=1
        ).past_key_values

    def feed(self, parents: Tensor | None, tokens: Tensor) -> Tensor:
        """Logits (B, N, V) behind the tokens (B, N), one a continuation, fed side by side.

        ``parents`` (B, N) names the continuations that these go on from, None each its own. What
        was fed as one is gone on from by all: the prompt's last token.
        """
        rows, count = tokens.shape
        if parents is not None:
            index = parents.to(self.seen.device)[..., None]
            self.seen = self.seen.gather(1, index.expand(-1, -1, self.seen.shape[2]))
        own = torch.eye(count, dtype=torch.bool, device=self.seen.device)
        self.seen = torch.cat([self.seen.expand(-1, count, -1), own.expand(rows, -1, -1)], dim=2)
        logits = self.model(
            input_ids=tokens.to(self.seen.device),
            position_ids=self.position.expand(-1, count),
            attention_mask=self.seen[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        self.position = self.position + 1
        return logits
