import csv
import io

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllmrec.dataset.delimited import first_record, records
from mllmrec.dataset.lines import BadRows

NAMES = ["a", "b", "c"]
QUIET = [HealthCheck.function_scoped_fixture]
CELL = st.text(st.sampled_from('xé ,;"\n🤣'), max_size=5)
LINE = st.text(st.sampled_from('xé ,;"|#🤣'), max_size=5)
ROWS = st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8)


def read(file, bad, size=1 << 20, mark=","):
    frames = list(records(file, "utf-8", mark, NAMES, bad, size=size))
    return pl.concat(frames) if frames else pl.DataFrame(schema=["line", *NAMES])


@settings(max_examples=80, deadline=None, suppress_health_check=QUIET)
@given(
    rows=ROWS | st.lists(st.lists(LINE, min_size=3, max_size=3), max_size=8),
    size=st.sampled_from([1, 5, 1 << 20]),
    mark=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_whatever_a_csv_writer_writes_is_read_back_at_its_line(tmp_path, rows, size, mark, quoting):
    text, at = io.StringIO(), []
    out = csv.writer(text, delimiter=mark, lineterminator="\n", quoting=quoting)
    for row in rows:
        at.append(text.getvalue().count("\n") + 1)
        out.writerow(row)
    (tmp_path / "x.csv").write_text(text.getvalue() + "\n", encoding="utf-8")
    bad = BadRows(limit=0)
    found = read(tmp_path / "x.csv", bad, size, mark)
    assert [list(row) for row in found.select(NAMES).rows()] == rows
    assert found["line"].to_list() == at


@pytest.mark.parametrize("size", [1, 6, 1 << 20])
def test_records_that_are_none_are_told_by_their_first_line(tmp_path, size):
    (tmp_path / "x.csv").write_text('1,2,3\n1,2\n\n"4\n4",5,6\n1,2,3,4\n7,"8\n9,9,9\n')
    bad = BadRows(limit=9)
    found = read(tmp_path / "x.csv", bad, size)
    assert found.select("line", *NAMES).rows() == [
        (1, "1", "2", "3"),
        (4, "4\n4", "5", "6"),
        (8, "9", "9", "9"),
    ]
    told = [words.partition(", ")[2].partition(";")[0] for words in sorted(bad.first)]
    assert told == [
        "line 2: field row, value '1,2': not the 3 fields a,b,c",
        "line 6: field row, value '1,2,3,4': not the 3 fields a,b,c",
        "line 7: field row, value '7,\"8': its quotes do not close",
    ]


def test_the_first_record_and_what_stands_above_it(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text('\n \n"a ""b""\nc", d \n1,2\n')
    assert first_record(file, "utf-8", ",") == ['a "b"\nc', "d"]
    file.write_text("a::b\n1::2\n")
    assert first_record(file, "utf-8", "::") == ["a", "b"]
    file.write_text("\n")
    assert first_record(file, "utf-8", ",") == [""]
