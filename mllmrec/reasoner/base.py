"""What every writer of rationales has."""

from collections.abc import Iterator

import polars as pl

from mllmrec.schema import Model


class Reasoner(Model):
    """Writes a rationale about the *next* item from the history alone: no target, no candidates."""

    def write(self, histories: pl.DataFrame, items: pl.DataFrame) -> Iterator[str]:
        """One text a row of ``histories`` (sample_id, history); ``items`` as ITEMS."""
        raise NotImplementedError
