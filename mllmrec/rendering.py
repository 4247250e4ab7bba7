"""Samples as prompts: one rendering for SFT, GRPO, evaluation and for people; none too long."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import polars as pl

from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.schema import Words

log = logging.getLogger(__name__)

T = TypeVar("T")


class Encoded(NamedTuple):
    """A prompt: the user's message, and its tokens up to where the answer begins."""

    text: str
    ids: list[int]


@dataclass(frozen=True, kw_only=True)
class Fitted(Generic[T]):
    """Samples whose histories fit, what was made of each, and how much was left out for it.

    ``counts`` is for a stage's metrics: ``shortened_prompts`` and ``dropped_items`` where
    ``prompt.too_long=drop_oldest``, else nothing.
    """

    samples: pl.DataFrame
    made: list[T]
    counts: dict[str, float]


def render_all(
    samples: pl.DataFrame,
    protocol: str,
    prepared: Prepared,
    prompt: Prompt,
    words: Words,
    rationales: Mapping[str, str] | None = None,
) -> list[str]:
    """The user's message of every sample; rationales are looked up by the sample's id.

    Raises:
        Refusal: the samples have no candidates of this protocol.
    """
    if protocol not in samples.columns:
        known = ", ".join(samples.columns[samples.columns.index("target") + 1 :])
        raise Refusal(
            f"protocol {protocol}: no such candidates were drawn for these samples",
            allowed=f"here: {known}",
            do=f"type prepare.protocols=[{protocol}], or one of these",
        )
    rationales = rationales or {}
    spoken = words.model_dump()
    rows = zip(samples["sample_id"], samples["history"], samples[protocol], strict=True)
    return [
        prompt.render(
            *(history.to_list(), candidates.to_list(), prepared.titles, spoken),
            rationales.get(id),
            prepared.captions,
        )
        for id, history, candidates in rows
    ]


def fitted(
    samples: pl.DataFrame,
    protocol: str,
    prepared: Prepared,
    prompt: Prompt,
    words: Words,
    tokenizer: Any,
    limit: int,
    room: int,
    rationales: Mapping[str, str] | None = None,
    thinking: bool = False,
    items: int | None = None,
) -> Fitted[Encoded]:
    """Every sample's prompt, encoded: with ``room`` for its answer it has at most ``limit`` tokens.

    With ``items`` it asks for a list of so many.

    Raises:
        Refusal: as ``render_all`` and ``shortened``.
    """

    def make(some: pl.DataFrame) -> list[Encoded]:
        texts = render_all(some, protocol, prepared, prompt, words, rationales)
        if items:
            texts = [prompt.asking(text, items, words.model_dump()) for text in texts]
        return [*map(Encoded, texts, prompt.encode_all(tokenizer, texts, thinking))]

    return shortened(samples, make, prompt, limit, room, size=lambda one: len(one.ids))


def shortened(
    samples: pl.DataFrame,
    make: Callable[[pl.DataFrame], Sequence[T]],
    prompt: Prompt,
    limit: int,
    room: int = 0,
    *,
    size: Callable[[T], int],
) -> Fitted[T]:
    """What ``make`` makes of samples whose histories are so short that its ``size`` + room fits.

    Under ``prompt.too_long=drop_oldest`` the fewest oldest items are left out, never the newest.

    Raises:
        Refusal: something is too long and may not be shortened, or would be with one item too.
    """
    made = [*make(samples)]
    sizes = {row: size(one) + room for row, one in enumerate(made)}
    long = [row for row in sizes if sizes[row] > limit]
    if prompt.too_long == "error":
        if long:
            raise over_limit(samples, sizes, limit, may_drop=True)
        return Fitted(samples=samples, made=made, counts={})
    dropped = 0
    if long:
        found = drop_oldest(samples, long, make, limit, room, size)
        counts = {row: count for row, (count, _) in found.items()}
        for row, (_, one) in found.items():
            made[row] = one
        dropped = sum(counts.values())
        samples = without(samples, {row: counts.get(row, 0) for row in sizes})
        log.info(
            "%d of these %d prompts shortened to the model's %d tokens: %d oldest items left out",
            *(len(long), len(made), limit, dropped),
        )
    told = {"shortened_prompts": float(len(long)), "dropped_items": float(dropped)}
    return Fitted(samples=samples, made=made, counts=told)


def drop_oldest(
    samples: pl.DataFrame,
    long: Sequence[int],
    make: Callable[[pl.DataFrame], Sequence[T]],
    limit: int,
    room: int,
    size: Callable[[T], int],
) -> dict[int, tuple[int, T]]:
    """Of each row in ``long``: how many items must go, and what is made without them.

    By halving, all rows at once: what fits was made, and with one item more it was too long.
    """
    items = samples["history"].list.len().to_list()
    few = dict.fromkeys(long, 0)  # leaving out so many is not enough
    enough = {row: max(items[row] - 1, 0) for row in long}
    made = dict(zip(enough, make(without(samples, enough)), strict=True))
    sizes = {row: size(one) + room for row, one in made.items()}
    if any(tokens > limit for tokens in sizes.values()):
        raise over_limit(samples, sizes, limit, may_drop=False)
    while tried := {r: (few[r] + enough[r]) // 2 for r in long if enough[r] - few[r] > 1}:
        for row, one in zip(tried, make(without(samples, tried)), strict=True):
            if size(one) + room > limit:
                few[row] = tried[row]
            else:
                enough[row], made[row] = tried[row], one
    return {row: (enough[row], made[row]) for row in long}


def without(samples: pl.DataFrame, dropped: Mapping[int, int]) -> pl.DataFrame:
    """These rows, each without so many of its oldest history items."""
    counts = pl.lit(pl.Series([*dropped.values()], dtype=pl.Int64))
    return samples[[*dropped]].with_columns(pl.col("history").list.slice(counts))


def over_limit(
    samples: pl.DataFrame, sizes: Mapping[int, int], limit: int, *, may_drop: bool
) -> Refusal:
    """The fault of rows of these sizes; ``may_drop``: a shorter history may mend it."""
    count = sum(tokens > limit for tokens in sizes.values())
    row = max(sizes, key=sizes.__getitem__)
    wrong = (
        f"{count} of these {len(samples)} prompts with their answers are too long: that of sample "
        f"{samples['sample_id'][row]} has {sizes[row]} tokens, the model takes {limit}"
    )
    if may_drop:
        return Refusal(
            wrong,
            allowed="prompts within the model's limit: nothing is ever cut in silence",
            do="type prompt.too_long=drop_oldest, or a smaller prepare.history_length, "
            "prompt.title_words or protocol",
        )
    return Refusal(
        f"{wrong}, with one history item left",
        allowed="prompts that fit with one history item and all of their candidates",
        do="type a smaller prompt.title_words or protocol",
    )
