"""Training rows in Arrow on disk, made in blocks and mapped into memory: never all in Python."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset as Rows

from mllmrec import ranks
from mllmrec.progress import Bar
from mllmrec.records import Prepared, Split
from mllmrec.seeds import seed_for

BLOCK = 8192  # samples whose rows are Python objects at one time
Made = Mapping[str, Any]


def blocks(prepared: Prepared, split: Split, size: int = BLOCK) -> Iterator[pl.DataFrame]:
    """The samples of a split in their order, so many at once; one block at least."""
    return sliced(prepared.folder / f"{split}.parquet", size)


def sequence_blocks(prepared: Prepared, size: int = BLOCK) -> Iterator[pl.DataFrame]:
    """The training interactions of so many users at once."""
    return sliced(prepared.folder / "sequences.parquet", size)


def sliced(file: Path, size: int) -> Iterator[pl.DataFrame]:
    table = pl.scan_parquet(file)
    count = table.select(pl.len()).collect().item()
    with Bar(f"rows of {file.stem}", count, "sample") as bar:
        for start in range(0, max(1, count), size):
            yield table.slice(start, size).collect()
            bar.step(min(size, count - start))


def sample_ids(prepared: Prepared, split: Split) -> pl.Series:
    """The ids of a split's samples, in their order."""
    table = pl.scan_parquet(prepared.folder / f"{split}.parquet")
    return table.select("sample_id").collect().to_series()


def stored(
    blocks: Iterable[pl.DataFrame], make: Callable[[pl.DataFrame], Sequence[Made]], file: Path
) -> Rows:
    """The rows that ``make`` makes of each block, mapped from ``file``, which is written anew."""
    if not ranks.is_main():  # the first rank writes for all
        ranks.wait()
        return Rows.from_file(str(file))
    made = ([*make(block)] for block in blocks)
    filled = (rows for rows in made if rows)
    first = pa.RecordBatch.from_pylist(next(filled))
    file.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, first.schema) as writer:
        rest = (pa.RecordBatch.from_pylist(rows, schema=first.schema) for rows in filled)
        for batch in chain([first], rest):
            writer.write_batch(batch)
    ranks.wait()
    return Rows.from_file(str(file))


def lengths(rows: Rows, column: str = "input_ids") -> np.ndarray:
    """How many values each row's list has, read without making them: (rows,)."""
    return pc.list_value_length(rows.data.column(column)).to_numpy()


class Prompts(Mapping[str, list[int]]):
    """A column of tokens by sample id: 16 bytes a sample in memory, the rest on disk."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        keys = np.array([seed_for(0, id) for id in rows.data.column("sample_id").to_pylist()])
        self.order = np.argsort(keys, kind="stable")
        self.sorted_keys = keys[self.order]

    def __getitem__(self, id: str) -> list[int]:
        first, last = np.searchsorted(self.sorted_keys, seed_for(0, id) + np.array([0, 1]))
        for place in self.order[first:last].tolist():
            row = self.rows[place]
            if row["sample_id"] == id:
                return list(row["ids"])
        raise KeyError(id)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return (row["sample_id"] for row in self.rows)
