"""Confidence and what is kept by it, by numbers that can be checked in the head."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmrec.assessment.confidence import confidence, gain, kept, prediction, rank, report

HALF = {"modality": 0.5, "prediction": 0.5}


def table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "sample_id": ["a", "b", "c", "d"],
            "text": ["A", "B", "C", "D"],
            "leak": [None, "the id 7", None, None],
            "modality": [0.2, 1.0, 0.6, 0.4],
            "prediction": [0.4, 1.0, 0.8, 0.2],
        },
        schema_overrides={"leak": pl.String},
    )


def test_prediction_is_a_half_where_the_target_is_like_the_others() -> None:
    assert prediction([-2.0, -2.0, -2.0], 1) == pytest.approx(0.5)
    # σ(−1 − log mean(e^−2, e^−3)): the mean of the others is taken among probabilities
    mean = math.log((math.exp(-2) + math.exp(-3)) / 2)
    assert prediction([-1.0, -2.0, -3.0], 0) == pytest.approx(1 / (1 + math.exp(mean + 1)))


@given(st.lists(st.floats(-60, 0), min_size=2, max_size=12), st.floats(0, 5))
def test_prediction_rises_with_the_target(scores: list[float], more: float) -> None:
    better = [scores[0] + more, *scores[1:]]
    assert 0 <= prediction(scores, 0) <= prediction(better, 0) <= 1


def test_gain_is_by_how_many_places_the_hint_lifts_the_target() -> None:
    assert gain([-3, -1, -2, -4], [-1, -3, -2, -4], 0) == pytest.approx((3 - 1) / 4)
    assert gain([-1, -2], [-3, -2], 0) == 0.0  # a hint that harms gives nothing
    assert rank([1.0, 1.0, 1.0], 0) == 2.0  # among equals the middle


def test_weights_count_by_their_proportion_and_the_gate_stops_what_leaks() -> None:
    found = confidence(table(), {"modality": 3.0, "prediction": 1.0}, gate=True)
    assert found["confidence"].to_list() == pytest.approx([0.25, 0.0, 0.65, 0.35])
    assert confidence(table(), HALF, gate=False)["confidence"][1] == pytest.approx(1.0)


def rows(keep: str, *, gate: bool = True, threshold: float = 0.5, share: float = 0.5) -> list[str]:
    made = confidence(table(), HALF, gate=gate)
    made = kept(made, keep=keep, threshold=threshold, share=share, gate=gate)
    return made.filter("kept")["sample_id"].to_list()


def test_what_is_kept() -> None:
    assert rows("threshold") == ["c"]  # a 0.3, c 0.7, d 0.3
    assert rows("threshold", threshold=0.3) == ["a", "c", "d"]
    assert rows("threshold", threshold=0.0) == ["a", "c", "d"]  # the gate is no matter of degree
    assert rows("top_share") == ["a", "c"]  # equals by their ids
    assert rows("top_share", share=1.0) == ["a", "c", "d"]
    assert rows("top_share", share=0.5, gate=False) == ["b", "c"]


def test_why_something_is_left_out_is_told() -> None:
    made = kept(
        confidence(table(), HALF, gate=True), keep="threshold", threshold=0.5, share=0, gate=True
    )
    assert made["why"].to_list() == [
        "confidence 0.3",
        "names the target: the id 7",
        None,
        "confidence 0.3",
    ]


def test_the_report_counts_and_names_the_best_and_the_worst() -> None:
    made = kept(
        confidence(table(), HALF, gate=True), keep="top_share", threshold=0, share=0.5, gate=True
    )
    found = report(made, bins=4, told=1)
    assert found["counts"] == {"rationales": 4, "leaks": 1, "kept": 2}
    assert [row["rationales"] for row in found["histogram"]] == [1, 2, 1, 0]
    assert found["best"][0]["sample_id"] == "c" and found["worst"][0]["sample_id"] == "b"
    assert report(made.clear())["counts"]["rationales"] == 0
