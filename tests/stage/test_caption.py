"""A caption for every item with a picture; bad pictures are named, counted, and bounded."""

import logging

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mllmrec.artifacts import file_digest
from mllmrec.dataset.posters import draw_posters
from mllmrec.errors import Refusal
from mllmrec.records import CAPTIONS, FAILURES, ITEMS, Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.caption import Caption
from tests.launching import config
from tests.reasoner.asked import configured

GOOD = 40


@pytest.fixture
def prepared(tmp_path):
    """Forty posters, and an item without a picture between them."""
    folder = tmp_path / "prepared"
    names = draw_posters(folder / "pictures", np.arange(GOOD) % 8, size=32, seed=0)
    write_items(folder, [*(f"pictures/{name}" for name in names[:20]), None, *names[20:]])
    return folder


def write_items(folder, pictures):
    rows = [
        {
            "item_id": f"i{number}",
            "title": f"Title {number}",
            "picture": f"pictures/{picture.rpartition('/')[2]}" if picture else None,
            "genres": [],
            "year": None,
        }
        for number, picture in enumerate(pictures)
    ]
    pl.DataFrame(rows, schema=ITEMS).write_parquet(folder / "items.parquet")


def run(folder, out, max_failed=0.02):
    out.mkdir(exist_ok=True)
    captioner = configured("captioner", "palette")
    job = Job(out=out, inputs={"prepare": folder}, groups={"captioner": captioner}, seed=0)
    return Caption(adopt=None, min_join=0.5, max_failed=max_failed).run(job)


def spoilt(folder):
    """Every kind of file that is no picture, in place of good ones; their names."""
    pictures = folder / "pictures"
    kinds = {
        "0001.png": lambda path: path.write_bytes(b""),
        "0002.png": lambda path: path.write_text("<html>404"),
        "0003.png": lambda path: path.write_bytes((pictures / "0000.png").read_bytes()[:90]),
        "0004.png": lambda path: path.mkdir(),
        "0005.png": lambda path: path.symlink_to(folder / "gone"),
        "0006.png": lambda path: None,
    }
    for name, spoil in kinds.items():
        (pictures / name).unlink()
        spoil(pictures / name)
    return [*kinds]


def test_every_picture_has_a_caption_and_says_whose_it_is(prepared, tmp_path):
    metrics = run(prepared, tmp_path / "out")
    table = pl.read_parquet(tmp_path / "out" / "captions.parquet")
    assert table.schema == CAPTIONS and len(table) == GOOD
    assert "i20" not in table["item_id"].to_list()
    first = table.row(0, named=True)
    assert (first["item_id"], first["writer"]) == ("i0", "Palette")
    assert first["picture_sha256"] == file_digest(prepared / "pictures" / "0000.png")
    assert (metrics["captions"], metrics["failed"]) == (GOOD, 0)
    assert pl.read_parquet(tmp_path / "out" / "failures.parquet").is_empty()
    known = Prepared(prepared, captioned=tmp_path / "out").captions
    assert known["i0"] == first["text"] and len(known) == GOOD


def test_each_bad_picture_is_named_and_counted_and_the_run_goes_on(prepared, tmp_path, caplog):
    names = spoilt(prepared)
    with caplog.at_level(logging.WARNING):
        metrics = run(prepared, tmp_path / "out", max_failed=0.2)
    failures = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failures.schema == FAILURES and failures["id"].to_list() == [
        f"i{n}" for n in range(1, 7)
    ]
    for name, why in zip(names, failures["why"], strict=True):
        assert why.startswith(f"{name}: ") and why in caplog.text
    assert (metrics["captions"], metrics["failed"]) == (GOOD - 6, 6)
    table = pl.read_parquet(tmp_path / "out" / "captions.parquet")
    assert not set(failures["id"]) & set(table["item_id"])


def test_too_many_bad_pictures_stop_the_run_before_a_table_is_written(prepared, tmp_path):
    spoilt(prepared)
    with pytest.raises(Refusal) as refusal:
        run(prepared, tmp_path / "out", max_failed=0.1)
    assert "6 of 40 have no caption, the first is i1 (0001.png: the file is empty)" in str(
        refusal.value
    )
    assert refusal.value.do.endswith("caption.max_failed=0.15")
    assert not (tmp_path / "out" / "captions.parquet").exists()
    assert len(pl.read_parquet(tmp_path / "out" / "failures.parquet")) == 6
    run(prepared, tmp_path / "again", max_failed=0.15)


def test_no_item_has_a_picture(prepared, tmp_path):
    write_items(prepared, [None, None])
    assert run(prepared, tmp_path / "out")["captions"] == 0
    assert pl.read_parquet(tmp_path / "out" / "captions.parquet").schema == CAPTIONS


def test_the_same_bytes_again(prepared, tmp_path):
    for name in ("a", "b"):
        run(prepared, tmp_path / name)
    one, other = ((tmp_path / name / "captions.parquet").read_bytes() for name in ("a", "b"))
    assert one == other


def test_a_large_picture_is_no_failure(prepared, tmp_path):
    Image.new("RGB", (9000, 6000), "teal").save(prepared / "pictures" / "0007.png")
    run(prepared, tmp_path / "out", max_failed=0)
    texts = Prepared(prepared, captioned=tmp_path / "out").captions
    assert texts["i7"].startswith("teal")


def test_a_dataset_without_pictures_is_refused():
    with pytest.raises(Refusal, match="this dataset has no pictures") as refusal:
        made = config("stage=caption", "dataset=movietweetings", "dataset.path=nowhere")
        made.stages["caption"].inputs(made)
    assert "prompt.captions=false" in refusal.value.do
