"""Samples on which runs disagree: which, what was asked, what each ranked."""

import polars as pl
import pytest

from mllmrec.comparison.cases import cases, chosen, where_they_differ
from mllmrec.comparison.ranks import Board
from mllmrec.errors import Refusal
from tests.comparison.study import PROMPT, Study, options

KEY = ("grpo", "uni3")
HOSTILE = "</script><b>Title</b> & “quotes”"


def rows(study, some):
    return study.runs(**{name: study.launch(name, {"grpo": row}) for name, row in some.items()})


def test_the_reference_and_the_best_distinct_rankings_are_kept(tmp_path):
    some = {f"r{n}": [1] * n + [4] * (20 - n) for n in range(13)} | {"again": [1] * 12 + [4] * 8}
    board = Board.of(rows(Study(tmp_path), some), ["grpo"])
    means = [sum(1 for rank in row if rank == 1) / 20 for row in some.values()]
    found = chosen(board, options(), 3, KEY, means)
    assert found == [3, 12, 11, 10, 9, 8, 7, 6, 5, 4]  # ten; "again" has the ranking of r12
    assert chosen(board, options(cases=["again", "r0"]), 3, KEY, means) == [13, 0]
    with pytest.raises(Refusal, match=r"compare\.cases: x: no run of this name"):
        chosen(board, options(cases=["x"]), 3, KEY, means)


def test_runs_of_other_samples_cannot_be_held_against_one_another(tmp_path):
    study = Study(tmp_path)
    one, two = study.launch("one", {"grpo": [1, 2]}), study.launch("two", {"grpo": [1, 2, 3]})
    board = Board.of(study.runs(one=one, two=two), ["grpo"])
    assert chosen(board, options(), 0, KEY, [0.5, 0.4]) == [0]
    with pytest.raises(Refusal, match="two: grpo/uni3: ranked other samples"):
        chosen(board, options(cases=["one", "two"]), 0, KEY, [0.5, 0.4])


def test_every_pair_has_its_say_and_top_places_count_more(tmp_path):
    some = {"a": [1, 1, 4, 1, 1], "b": [1, 4, 4, 2, 1], "c": [1, 1, 3, 1, 3]}
    board = Board.of(rows(Study(tmp_path), some), ["grpo"])
    tables = [one for one in board.by[KEY] if one]
    assert where_they_differ(tables, 10) == [1, 4, 3, 2]  # a–b: 1, a–c: 4, b–c: 1; then 3, 2
    assert where_they_differ(tables, 2) == [1, 4]


def test_a_case_tells_all_that_was_asked_and_ranked(tmp_path):
    study = Study(tmp_path, {"a": HOSTILE})
    other = {**PROMPT, "numbered": True}
    one = study.launch("one", {"grpo": [1, 3, 1]})
    two = study.launch("two", {"grpo": [1, 1, 1]}, prompt=other)
    board = Board.of(study.runs(one=one, two=two), ["grpo"])
    found = cases(board, options(samples=5), KEY, [0, 1])
    assert (found["policy"], found["protocol"], found["runs"]) == ("grpo", "uni3", [0, 1])
    (case,) = found["samples"]  # they agree on the others
    assert case["id"] == "s1" and case["target"] == "The Target" and case["rationale"] is None
    assert case["history"] == [HOSTILE, "Beta"]
    first, second = case["by"]
    assert first == {"ranked": [HOSTILE, "Beta", "The Target", "Gamma"], "rank": 3}
    assert second["ranked"][0] == "The Target" and second["rank"] == 1
    assert "[ITEM_t] The Target" in case["prompt"] and "1. [ITEM_a]" not in case["prompt"]
    assert "1. [ITEM_a]" in second["prompt"]  # this run showed another


def test_hints_are_told_with_the_prompts_that_showed_them(tmp_path):
    study = Study(tmp_path)
    hints = study.artifact("hints", {"of": "test"})
    table = {"sample_id": ["s0"], "text": ["Likes quests."], "writer": ["template"]}
    pl.DataFrame(table).write_parquet(hints / "rationales.parquet")
    one, two = study.launch("one", {"grpo": [3, 1]}), study.launch("two", {"grpo": [1, 1]})
    runs = study.runs(one=one, two=two)
    runs[0].ranking("grpo").manifest["identity"]["inputs"]["hints"] = hints.name
    case = cases(Board.of(runs, ["grpo"]), options(), KEY, [0, 1])["samples"][0]
    assert case["rationale"] == "Likes quests." and "<think>Likes quests.</think>" in case["prompt"]
    assert case["by"][1]["rationale"] is None and "<think>" not in case["by"][1]["prompt"]


def test_a_policy_that_reads_no_prompt_and_one_whose_data_are_gone_have_none(tmp_path):
    study = Study(tmp_path)
    ranks = [{"popularity": [1, 2]}, {"popularity": [2, 1]}]
    made = {f"r{n}": study.launch(f"r{n}", row) for n, row in enumerate(ranks)}
    board = Board.of(study.runs(**made), ["popularity"])
    found = cases(board, options(), ("popularity", "uni3"), [0, 1])
    assert [case["prompt"] for case in found["samples"]] == [None, None]
    made = {f"g{n}": study.launch(f"g{n}", {"grpo": row}) for n, row in enumerate(([1, 2], [2, 1]))}
    runs = study.runs(**made)
    runs[0].ranking("grpo").manifest["identity"]["inputs"]["captions"] = "gone"
    found = cases(Board.of(runs, ["grpo"]), options(), KEY, [0, 1])
    assert found["samples"][0]["prompt"] is None and found["samples"][0]["by"][1]["prompt"]


def test_captions_are_shown_where_the_prompt_had_them(tmp_path):
    study = Study(tmp_path)
    captions = study.artifact("caption", {"of": "all"})
    row = {"item_id": ["a"], "text": ["a red ring"], "writer": ["x"], "picture_sha256": ["0"]}
    pl.DataFrame(row).write_parquet(captions / "captions.parquet")
    one, two = study.launch("one", {"grpo": [3, 1]}), study.launch("two", {"grpo": [1, 1]})
    runs = study.runs(one=one, two=two)
    runs[0].ranking("grpo").manifest["identity"]["inputs"]["captions"] = captions.name
    case = cases(Board.of(runs, ["grpo"]), options(), KEY, [0, 1])["samples"][0]
    assert "[ITEM_a] Alpha, a red ring" in case["prompt"]
    assert "[ITEM_a] Alpha\n" in case["by"][1]["prompt"]  # this run's prompts had none
