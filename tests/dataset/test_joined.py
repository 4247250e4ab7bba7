"""Texts from outside on our items and samples: by ids and titles, never by place."""

import json
import logging

import polars as pl
import pytest

from mllmrec.dataset.joined import captions_of, rationales_of
from mllmrec.errors import Refusal
from mllmrec.records import ITEMS, SAMPLES, Prepared

TITLES = {"1": "Alien", "2": "Brazil", "3": "Cube", "4": "It"}
TRAIN = [("u1:3", "u1", ["1", "2"], "3"), ("u2:3", "u2", ["1", "3"], "4")]
VALIDATION = [("u3:3", "u3", ["2", "3"], "1")]


@pytest.fixture
def prepared(tmp_path):
    items = [{"item_id": id, "title": title, "genres": []} for id, title in TITLES.items()]
    pl.DataFrame(items, schema=ITEMS).write_parquet(tmp_path / "items.parquet")
    for split, rows in (("train", TRAIN), ("validation", VALIDATION)):
        table = pl.DataFrame(rows, schema=SAMPLES, orient="row")
        table.write_parquet(tmp_path / f"{split}.parquet")
    return Prepared(tmp_path)


def trace(user, target, text, **more):
    title = more.pop("title", TITLES.get(target, "?"))
    return {"user_id": user, "target_item": {"item_id": target, "title": title}, **more} | {
        "reasoning": text
    }


def join(prepared, kind, content, min_join=0.5):
    file = prepared.folder / "x.json"
    file.write_text(json.dumps(content))
    stage = "caption" if kind is captions_of else "refine"
    replies = kind(file, prepared, stage=stage, min_join=min_join)
    return {one.id: one.text if one.text is not None else f"no: {one.why}" for one in replies}


def test_a_rationale_finds_its_user_and_target_in_any_order_and_at_any_row(prepared, caplog):
    caplog.set_level(logging.INFO)
    told = [
        trace("u2", "4", "second", line_idx=0),
        trace("u9", "4", "of nobody", line_idx=1),
        trace("u1", "3", "first", line_idx=7),
    ]
    assert join(prepared, rationales_of, told) == {"u2:3": "second", "u1:3": "first"}
    assert "join: 2 of 3 rationales found their user and target, x.json (66.67 %)" in caplog.text
    assert "entry 2 (user 'u9', target '4'): no training sample of this user" in caplog.text


def test_a_user_with_another_target_is_another_sample(prepared):
    told = [trace("u1", "4", "wrong"), trace("u1", "3", "right")]
    assert join(prepared, rationales_of, told) == {"u1:3": "right"}


def test_what_is_of_validation_here_is_kept_too(prepared):
    told = [trace("u3", "1", "held"), trace("u1", "3", "asked")]
    found = join(prepared, rationales_of, told, min_join=1.0)
    assert found == {"u3:3": "held", "u1:3": "asked"}


def test_an_empty_text_is_a_failure_with_its_reason(prepared):
    told = [trace("u1", "3", "", error="Timeout()"), trace("u2", "4", "")]
    assert join(prepared, rationales_of, told) == {
        "u1:3": "no: the file says Timeout()",
        "u2:3": "no: the text is empty in the file",
    }


def test_the_first_text_is_kept_and_another_one_is_counted(prepared, caplog):
    told = [trace("u1", "3", text) for text in ("", "one", "one", "two")]
    assert join(prepared, rationales_of, told) == {"u1:3": "one"}
    assert "1 entries are of something told before, with another text" in caplog.text


@pytest.mark.parametrize("title", ["Solaris", ""])
def test_a_file_of_other_data_with_the_same_ids_is_refused(prepared, title):
    told = [trace("u1", "3", "x", title=title), trace("u2", "4", "y", title=title)]
    with pytest.raises(Refusal, match="0 of 2 rationales found") as refusal:
        join(prepared, rationales_of, told, min_join=0.0)
    assert f"is titled '{title}' there and 'Cube' here" in refusal.value.wrong
    assert "refine.adopt=FILE" in refusal.value.do and "min_join" not in refusal.value.do


def test_a_low_hit_rate_is_refused_with_examples_and_the_knob(prepared):
    told = [trace("u1", "3", "x"), *(trace(f"w{n}", "4", "y") for n in range(9))]
    with pytest.raises(Refusal, match="1 of 10 rationales found") as refusal:
        join(prepared, rationales_of, told)
    assert "entry 2 (user 'w0', target '4')" in refusal.value.wrong
    assert refusal.value.do.endswith("refine.min_join=0.1")
    assert join(prepared, rationales_of, told, min_join=0.1) == {"u1:3": "x"}


def test_captions_find_their_item_by_id_and_title(prepared):
    told = {
        "2": {"title": "brazil ", "caption": "Pipes."},
        "1": {"title": "Aliens", "caption": "Of another film."},
        "3": "A room.",
        "4": {"title": "Unknown Title", "caption": ""},
        "9": "Of no item.",
    }
    assert join(prepared, captions_of, told) == {
        "2": "Pipes.",
        "3": "A room.",
        "4": "no: the text is empty in the file",
    }
    with pytest.raises(Refusal, match=r"caption\.adopt=.* 3 of 5 captions found their item"):
        join(prepared, captions_of, told, min_join=0.7)
