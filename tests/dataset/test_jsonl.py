import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllmrec.dataset.jsonl import listed, objects
from mllmrec.dataset.lines import BadRows

FIELDS = {"id": "asin", "time": "timestamp"}
QUIET = [HealthCheck.function_scoped_fixture]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
ROW = st.fixed_dictionaries(
    {}, optional={"asin": TEXT, "timestamp": st.integers(-(2**63), 2**63 - 1), "line": TEXT}
)


def read(file, bad, size=1 << 20):
    return pl.concat(objects(file, FIELDS, bad, size)).rows()


@settings(max_examples=80, deadline=None, suppress_health_check=QUIET)
@given(rows=st.lists(ROW, min_size=1, max_size=6), size=st.sampled_from([1, 20, 1 << 20]))
def test_what_json_writes_is_read_back(tmp_path, rows, size):
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = [
        (line, row.get("asin"), str(row["timestamp"]) if "timestamp" in row else None)
        for line, row in enumerate(rows, start=1)
    ]
    assert read(tmp_path / "x.jsonl", BadRows(limit=0), size) == told


@pytest.mark.parametrize("size", [1, 30, 1 << 20])
def test_lines_that_are_no_objects_are_told_and_the_others_read(tmp_path, size):
    text = '{"asin":1}\n{bad\n\n[2]\nnull\n{"asin":"3"}\r\n{"asin":"4"} {"asin":"5"}\n{"asin":"6"'
    (tmp_path / "x.jsonl").write_text(text)
    bad = BadRows(limit=9)
    assert read(tmp_path / "x.jsonl", bad, size) == [(1, "1", None), (6, "3", None)]
    assert bad.count == 5
    assert [told.split(", ")[1].split(":")[0] for told in bad.first] == [
        "line 2",
        "line 4",
        "line 5",
        "line 7",
        "line 8",
    ]


def test_objects_nested_without_end_are_told(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"asin":' + "[" * 200_000 + "]" * 200_000 + "}\n")
    bad = BadRows(limit=1)
    assert not read(tmp_path / "x.jsonl", bad)
    assert bad.count == 1 and "x.jsonl, line 1" in bad.first[0]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('["a \\"b\\"", "c\\d"]', ['a "b"', "c\\d"]),
        ("[]", []),
        ('["a", 1, null, ["b"]]', ["a"]),
        ('{"a": 1}', []),
    ],
)
def test_lists(told, expected):
    assert listed(told) == expected
