import logging

import polars as pl
import pytest

from mllmrec.dataset.lines import BadRows, Rule, blocks, log_join, read_lines
from mllmrec.errors import Refusal


def test_lines_count_from_one_whatever_their_ends(tmp_path):
    file = tmp_path / "a.dat"
    file.write_bytes("\ufeffé\r\n\r\nb\u2028c\x0bd\n\n".encode())
    assert read_lines(file, "utf-8").rows() == [(1, "é"), (2, ""), (3, "b\u2028c\x0bd")]


@pytest.mark.parametrize("size", [1, 3, 8, 100])
def test_blocks_are_the_lines_in_parts(tmp_path, size):
    file = tmp_path / "a.dat"
    file.write_bytes("\ufeffé\r\n\r\nlonger than a block\nb".encode())
    parts = list(blocks(file, "utf-8", size))
    assert pl.concat(parts).rows() == [(1, "é"), (2, ""), (3, "longer than a block"), (4, "b")]
    assert len(parts) == {1: 4, 100: 2}.get(size, len(parts))


def test_a_byte_in_a_later_block_is_told_by_its_own_line(tmp_path):
    file = tmp_path / "a.dat"
    file.write_bytes(b"fine\nfine\nAm\xe9lie\n")
    with pytest.raises(Refusal, match=r"a\.dat, line 3: byte 3 of the line"):
        list(blocks(file, "utf-8", 6))


def test_another_encoding_is_told_by_line_and_byte_and_can_be_named(tmp_path):
    file = tmp_path / "a.dat"
    file.write_bytes(b"fine\nAm\xe9lie\n")
    with pytest.raises(Refusal, match=r"a\.dat, line 2: byte 3 of the line, value 0xe9") as told:
        read_lines(file, "utf-8")
    assert "dataset.encoding=latin-1" in told.value.do and "iconv -f latin1" in told.value.do
    assert read_lines(file, "latin-1")["raw"].to_list() == ["fine", "Amélie"]


def rule(letter):
    value = pl.col("raw")
    return Rule(bad=value == letter, field="raw", value=value, why=f"no {letter}")


def test_bad_rows_up_to_the_limit_are_dropped_counted_and_listed(tmp_path, caplog):
    rows = pl.DataFrame({"line": [1, 2, 3, 3], "raw": ["x", "a", "b", "c"]})
    bad = BadRows(limit=2)
    assert bad.sift(rows, tmp_path / "f", [rule("x"), rule("b")]).rows() == [(2, "a")]
    bad.report()
    assert bad.count == 2 and caplog.records[0].levelno == logging.WARNING
    assert "f, line 1: field raw, value 'x': no x; " in caplog.text and "f, line 3" in caplog.text


def test_one_bad_row_above_the_limit_refuses_and_lists_the_first(tmp_path):
    rows = pl.DataFrame({"line": range(1, 9), "raw": ["x"] * 8})
    with pytest.raises(Refusal, match=r"f, line 5: .* and 3 more") as told:
        BadRows(limit=7).sift(rows, tmp_path / "f", [rule("x")])
    assert "line 6" not in told.value.wrong
    assert told.value.do.endswith("dataset.max_bad_rows=8")


def test_hit_rate(caplog):
    caplog.set_level(logging.INFO)
    log_join("ratings found their title", 1, 3)
    assert "1 of 3 ratings found their title (33.33 %)" in caplog.text
