"""Results by kind of sample, against means that are worked out by hand."""

import pytest

from mllmrec import ranking
from mllmrec.comparison.ranks import Board
from mllmrec.comparison.segments import edges_of, labels, segments
from tests.comparison.study import Study, measured, options, ranking_of

ROW = [1] * 10 + [4] * 30  # of users with few interactions the targets are found


def test_bins_part_the_samples_evenly():
    assert edges_of(ranking_of([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])) == [3, 5, 7, 9]
    assert edges_of(ranking_of([7, 7, 7, 8])) == [8]
    assert edges_of(ranking_of([3, 3, 3])) == []
    assert labels([3, 5, 6]) == ["0–2", "3–4", "5", "6+"]


def test_each_bin_has_the_mean_of_its_samples(tmp_path):
    study = Study(tmp_path)
    one, two = study.launch("one", {"sft": ROW}), study.launch("two", {"sft": [2] * 40})
    board = Board.of(study.runs(one=one, two=two), ["sft"])
    found = segments(board, options(), 0, ("sft", "uni3"))
    assert [one["name"] for one in found] == ["history length (training interactions of the user)"]
    made = found[0]  # all targets are as popular, so there is nothing to tell by popularity
    assert made["bins"] == ["0–8", "9–16", "17–24", "25–32", "33+"]
    rows = {(row["run"], row["key"]): row for row in made["rows"]}
    first = rows[0, "sft/uni3/hr@1"]
    assert first["n"] == [8, 8, 8, 8, 8]
    assert first["mean"] == [1, 0.25, 0, 0, 0]  # samples 9 and 10 of the second bin are found
    alone = ranking.intervals({"a": measured("hr@1", ROW[8:16])}, seed=0)["a"]
    assert (first["low"][1], first["high"][1]) == (alone.low, alone.high)
    assert rows[1, "sft/uni3/ndcg@2"]["mean"] == pytest.approx([0.6309] * 5, abs=1e-4)


def test_runs_of_other_samples_are_put_into_the_bins_of_the_reference(tmp_path):
    study = Study(tmp_path)
    one, two = study.launch("one", {"sft": ROW}), study.launch("two", {"sft": [1] * 10})
    board = Board.of(study.runs(one=one, two=two), ["sft"])
    rows = segments(board, options(), 0, ("sft", "uni3"))[0]["rows"]
    assert next(row for row in rows if row["run"] == 1)["n"] == [8, 2, 0, 0, 0]
    assert next(row for row in rows if row["run"] == 1)["mean"][2:] == [None] * 3
