import polars as pl
import pytest

from mllmrec.records import Prepared
from mllmrec.training.rows import Prompts, blocks, lengths, sample_ids, stored


@pytest.fixture
def three(tmp_path):
    table = pl.DataFrame({"sample_id": ["a:1", "b:1", "c:1"], "target": ["x", "y", "z"]})
    table.write_parquet(tmp_path / "train.parquet")
    return Prepared(tmp_path)


def make(some):
    """As many tokens as the sample's letter has places; nothing of the sample b:1."""
    ids = [id for id in some["sample_id"] if id != "b:1"]
    return [{"sample_id": id, "ids": [7] * (ord(id[0]) - 96)} for id in ids]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_rows_are_the_same_in_whatever_blocks_they_were_made(three, tmp_path, size):
    rows = stored(blocks(three, "train", size), make, tmp_path / "rows" / "rows.arrow")
    assert rows.to_list() == [
        {"sample_id": "a:1", "ids": [7]},
        {"sample_id": "c:1", "ids": [7, 7, 7]},
    ]
    assert lengths(rows, "ids").tolist() == [1, 3]
    assert rows.cache_files, "the rows are not mapped from a file"


def test_blocks_are_all_samples_in_their_order(three):
    assert pl.concat(blocks(three, "train", 2)).equals(three.samples("train"))
    assert [len(some) for some in blocks(three, "train", 2)] == [2, 1]
    assert sample_ids(three, "train").to_list() == ["a:1", "b:1", "c:1"]


def test_prompts_are_found_by_their_samples_id(three, tmp_path, monkeypatch):
    rows = stored(blocks(three, "train"), make, tmp_path / "rows.arrow")
    assert dict(Prompts(rows)) == {"a:1": [7], "c:1": [7, 7, 7]}
    monkeypatch.setattr("mllmrec.training.rows.seed_for", lambda *_: 5)  # all keys collide
    prompts = Prompts(rows)
    assert dict(prompts) == {"a:1": [7], "c:1": [7, 7, 7]}
    with pytest.raises(KeyError):
        prompts["b:1"]
