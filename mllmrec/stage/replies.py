"""What writers answered, as tables: texts, and beside them the failures with their reasons."""

import logging
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from mllmrec.asking import Reply
from mllmrec.errors import Refusal
from mllmrec.records import FAILURES
from mllmrec.stage.base import Metrics

log = logging.getLogger(__name__)

TOLD = 10  # failures that are named one by one


def settled(
    replies: Sequence[Reply], out: Path, *, stage: str, what: str, max_failed: float
) -> dict[str, str]:
    """The texts by id; the failures are written to ``failures.parquet``, counted and named.

    Raises:
        Refusal: more than a share of ``max_failed`` of the replies are failures.
    """
    failed = [reply for reply in replies if reply.text is None]
    rows = [{"id": reply.id, "why": reply.why} for reply in failed]
    pl.DataFrame(rows, schema=FAILURES).write_parquet(out / "failures.parquet")
    for reply in failed[:TOLD]:
        log.warning("%s: no %s for %s: %s", stage, what, reply.id, reply.why)
    if len(failed) > TOLD:
        log.warning("%s: %d more have no %s: failures.parquet", stage, len(failed) - TOLD, what)
    if len(failed) > max_failed * len(replies):
        raise Refusal(
            f"{stage}: {len(failed)} of {len(replies)} have no {what}, the first is "
            f"{failed[0].id} ({failed[0].why})",
            allowed=f"a share of {stage}.max_failed={max_failed:g} of failures",
            do="mend what is named and repeat the command, which asks again where a server was at "
            f"fault, or type {stage}.max_failed={-(-len(failed) * 100 // len(replies)) / 100:g}",
        )
    return {reply.id: reply.text for reply in replies if reply.text is not None}


def counts(texts: dict[str, str], asked: int, what: str) -> Metrics:
    """How many texts there are of those that were asked for, and how long they are."""
    words = [len(text.split()) for text in texts.values()]
    return {
        what: float(len(texts)),
        "failed": float(asked - len(texts)),
        "mean_words": sum(words) / max(1, len(words)),
    }
