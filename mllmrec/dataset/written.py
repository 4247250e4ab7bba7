"""Tables written part by part, so that no table need be whole in memory."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl


class Written:
    """A Parquet file that takes frames of one schema, a row group each.

    The bytes hang on the frames alone: one thread encodes them, whatever Polars has.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.writer: Any = None

    def add(self, frame: pl.DataFrame) -> None:
        import pyarrow.parquet as pq

        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self.writer is None:
            self.writer = pq.ParquetWriter(
                self.file, table.schema, compression="zstd", store_schema=False
            )
        self.writer.write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.writer is not None:
            self.writer.close()
