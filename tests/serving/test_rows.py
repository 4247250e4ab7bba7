"""Rows of files: the same from every kind, and every fault told by its line."""

import csv
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.errors import Refusal
from mllmrec.serving.rows import rows_of

ROWS = [
    {"id": "a", "history": ["1", "Heat, again"], "user": None, "candidates": ["3", "4"]},
    {"id": None, "history": None, "user": "u7", "candidates": None},
    {"id": "c", "history": ["5"], "user": None, "candidates": None},
]


def written(folder, kind, rows):
    file = folder / f"asked{kind}"
    if kind == ".parquet":
        lists = {"history": pl.List(pl.String), "candidates": pl.List(pl.String)}
        pl.DataFrame(rows, schema_overrides=lists).write_parquet(file)
    elif kind == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    else:
        with file.open("w", encoding="utf-8", newline="") as handle:
            table = csv.DictWriter(handle, [*rows[0]], delimiter="\t" if kind == ".tsv" else ",")
            table.writeheader()
            for row in rows:
                cells = ("|".join(v) if isinstance(v, list) else v for v in row.values())
                table.writerow(dict(zip(row, cells, strict=True)))
    return file


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, kind):
    found = [*rows_of(written(tmp_path, kind, ROWS), "|")]
    assert [dict(row.cells) for row in found] == ROWS
    assert not any(row.fault for row in found)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=4), min_size=1, max_size=5))
def test_lists_of_any_texts_come_back_from_json_lines(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    file = written(folder, ".jsonl", [{"history": row} for row in rows])
    for row, texts in zip(rows_of(file, "|"), rows, strict=True):
        if all(text.strip() for text in texts):
            assert row.cells["history"] == texts
        else:
            assert "history holds" in row.fault


def test_numbers_are_names_and_a_mark_of_utf_8_is_none(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('\ufeff{"id": 3, "history": [1, "2"]}\n', encoding="utf-8")
    (row,) = rows_of(file, "|")
    assert row.cells["id"] == "3" and row.cells["history"] == ["1", "2"]
    file = tmp_path / "a.csv"
    file.write_text("\ufeffhistory\n1 ; 2\n", encoding="utf-8")
    (row,) = rows_of(file, ";")
    assert row.cells["history"] == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "text", "where", "fault"),
    [
        ("a.jsonl", '{"history": ["1"]}\n[1]\n', "a.jsonl, line 2", "not a JSON object"),
        ("a.jsonl", '{"history": [1.5]}\n', "line 1", "history holds '1.5'"),
        ("a.jsonl", '{"history": [true]}\n', "line 1", "history holds 'True'"),
        ("a.jsonl", '{"history": "1"}\n', "line 1", "history is no list"),
        ("a.jsonl", '{"hist": ["1"]}\n', "line 1", "unknown fields ['hist']"),
        ("a.csv", "id,history\n1,2,3\n", "line 2", "another number of cells"),
        ("a.csv", "id,history\nx,1||2\n", "line 2", "history holds ''"),
    ],
)
def test_a_bad_row_is_told_by_its_line(tmp_path, name, text, where, fault):
    (tmp_path / name).write_text(text, encoding="utf-8")
    bad = [row for row in rows_of(tmp_path / name, "|") if row.fault]
    assert len(bad) == 1 and bad[0].where.endswith(where) and fault in bad[0].fault


@pytest.mark.parametrize(
    ("name", "data", "wrong"),
    [
        ("a.xls", b"x", "no kind of file"),
        ("a.csv", b"id,age\n1,2\n", "unknown columns ['age']"),
        ("a.csv", b"id\n1\n", "no column history"),
        ("a.csv", b"history\n\xff\n", "cannot be read"),
        ("a.parquet", b"PAR1 no", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, data, wrong):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Refusal) as refusal:
        [*rows_of(tmp_path / name, "|")]
    assert wrong in refusal.value.wrong and refusal.value.allowed and refusal.value.do
