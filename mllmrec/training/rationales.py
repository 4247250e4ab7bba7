"""Which training samples carry a rationale, and how rationales are read."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from mllmrec.seeds import seed_for

log = logging.getLogger(__name__)

TABLE = "rationales.parquet"  # RATIONALES, of training samples; with more columns once assessed
HELD = "held.parquet"  # RATIONALES of validation samples, where rationales were made elsewhere


def read(inputs: Mapping[str, Path]) -> dict[str, str]:
    """Rationales by sample id, those that ``assess`` kept."""
    table = pl.read_parquet(inputs["rationales"] / TABLE).filter("kept")
    return dict(zip(table["sample_id"], table["text"], strict=True))


def drafts(folder: Path, name: str = TABLE) -> dict[str, str]:
    """All rationales of a table, by sample id, assessed or not."""
    table = pl.read_parquet(folder / name)
    return dict(zip(table["sample_id"], table["text"], strict=True))


def carried(
    inputs: Mapping[str, Path], sample_ids: Iterable[str], share: float, seed: int, label: str
) -> dict[str, str]:
    """The rationales that a stage's samples carry; none where it stands on none."""
    return choose(sample_ids, read(inputs), share, seed, label) if "rationales" in inputs else {}


def choose(
    sample_ids: Iterable[str], rationales: Mapping[str, str], share: float, seed: int, label: str
) -> dict[str, str]:
    """The rationales that ``share`` of all training samples carry.

    Samples are taken in the order of a hash of (seed, sample id), so the choice at 0.05 is a
    subset of the choice at 0.10. Where fewer have a rationale than are asked for, it says so.
    """
    sample_ids = list(sample_ids)
    wanted = round(share * len(sample_ids))
    if not wanted:
        return {}
    able = [id for id in sample_ids if id in rationales]
    told = "%s: %d of %d samples have a kept rationale, %d carry it (cot_prob=%g)"
    log.info(told, label, len(able), len(sample_ids), min(wanted, len(able)), share)
    if not able:
        log.warning(
            "%s.cot_prob=%g: NO sample carries a rationale, none was kept; see stage=assess",
            *(label, share),
        )
    elif len(able) < wanted:
        log.warning(
            "%s.cot_prob=%g asks for %d rationales, %d were kept: all of them are used (more: "
            "assess.share, assess.threshold, pseudo_cot.samples)",
            *(label, share, wanted, len(able)),
        )
    ordered = sorted(able, key=lambda id: seed_for(seed, "rationale", id))
    return {id: rationales[id] for id in ordered[:wanted]}
