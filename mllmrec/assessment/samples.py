"""The gate, put to the rationales of samples."""

from collections.abc import Iterable

import polars as pl

from mllmrec.assessment.leakage import Gate
from mllmrec.records import Prepared


def leaks(
    samples: pl.DataFrame, texts: Iterable[str], prepared: Prepared, least: int
) -> list[str | None]:
    """How each text names the target of its sample, or None where it does not."""
    titles, captions, texts = prepared.titles, prepared.captions, [*texts]
    gate = Gate.over(titles.values(), least, texts)
    rows = zip(texts, samples["target"], samples["history"].to_list(), strict=True)
    return [
        gate.leak(
            text,
            target,
            titles[target],
            [*(titles[i] for i in history), *(captions.get(i, "") for i in history)],
        )
        for text, target, history in rows
    ]
