import polars as pl
import pytest

from mllmrec.dataset.written import Written

PARTS = [
    pl.DataFrame({"id": ["a", "é"], "items": [["x", "y"], []], "times": [[1, -2], [3]]}),
    pl.DataFrame({"id": ["c"], "items": [["x"]], "times": [[2**62]]}),
]


def test_what_is_read_is_what_was_written_part_by_part(tmp_path):
    with Written(tmp_path / "a.parquet") as file:
        for part in PARTS:
            file.add(part)
    read = pl.read_parquet(tmp_path / "a.parquet")
    assert read.equals(pl.concat(PARTS)) and read.schema == PARTS[0].schema
    assert pl.scan_parquet(tmp_path / "a.parquet").select("id").collect().height == 3


def test_a_part_of_another_shape_is_refused(tmp_path):
    with Written(tmp_path / "a.parquet") as file:
        file.add(PARTS[0])
        with pytest.raises(ValueError, match="does not match"):
            file.add(PARTS[1].drop("times"))
