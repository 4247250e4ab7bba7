"""Samples as prompts: one rendering for SFT, GRPO, evaluation and for people."""

from collections.abc import Mapping

import polars as pl

from mllmrec.errors import Refusal
from mllmrec.prompt import Prompt
from mllmrec.records import Prepared
from mllmrec.schema import Words


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
            history.to_list(), candidates.to_list(), prepared.titles, spoken, rationales.get(id)
        )
        for id, history, candidates in rows
    ]
