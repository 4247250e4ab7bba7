"""The whole of a comparison: notes, order, files, tables."""

import csv
import io
import json

import pytest
from rich.console import Console

from mllmrec.comparison import terminal
from mllmrec.comparison.build import build, rounded
from mllmrec.comparison.files import write_csv, write_data
from mllmrec.comparison.write import write
from mllmrec.errors import Refusal
from tests.comparison.study import Study, options

HALF, BEST = [1, 4] * 20, [1] * 40


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


@pytest.fixture
def data(study):
    some = {"a": HALF, "b": BEST, "c": HALF}
    made = {
        name: study.launch(
            name,
            {"popularity": HALF, "grpo": row},
            [f"grpo.beta={n}", "prompt.task=a b"],
            grpo={"beta": n},
        )
        for n, (name, row) in enumerate(some.items())
    }
    return build(study.runs(**made), options(), "A title")


def said(data, monkeypatch, width=160):
    out = Console(file=io.StringIO(), width=width, highlight=False)
    monkeypatch.setattr(terminal, "console", lambda: out)
    terminal.print_comparison(data)
    return out.file.getvalue()


def test_it_is_json_by_columns_and_says_how_to_run_each_again(data):
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["title"] == "A title" and data["primary"] == "grpo/uni3/ndcg@2"
    assert data["runs"][1]["command"] == "python launch.py grpo.beta=1 'prompt.task=a b'"
    assert data["runs"][1]["id"] == "wb-b" and data["runs"][1]["state"] == "finished"
    count = len(data["runs"])
    for columns in [*data["values"].values(), *data["tests"].values()]:
        assert all(len(numbers) == count for numbers in columns.values())
    assert data["cases"]["runs"] == [0, 1]
    assert data["notes"] == ["uni3: K = [9] left out, K must be below the number of candidates"]


def test_numbers_are_rounded_to_four_digits_and_noise_to_nothing():
    assert rounded({"a": [0.123456, 1e-17, None, 3, True], "b": 12345.6}) == {
        "a": [0.1235, 0.0, None, 3, True],
        "b": 12350.0,
    }


def test_a_loss_that_is_no_number_is_a_gap_and_ends_nothing(study, tmp_path):
    bad = [float("nan"), float("inf"), -float("inf")]
    sft = [{"step": n, "loss": loss, "grad_norm": 1.0} for n, loss in enumerate([2.0, *bad])]
    look = {"probe/ndcg@5": 0.5, "probe/reward": 0.5, "reward": 0.5}
    grpo = [{"step": n, **look, "reward": value} for n, value in enumerate([0.5, *bad])]
    one = study.launch("one", {"sft": HALF}, histories={"sft": sft, "grpo": grpo})
    two = study.launch("two", {"sft": BEST}, cot_prob=float("inf"))
    runs = study.launches(one=one, two=two)
    write(runs, options(), tmp_path / "out", store=study.store, title="")
    found = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    curve = next(one for one in found["curves"] if one["name"] == "sft/loss")
    assert curve["y"] == [2.0, None, None, None] and found["knobs"][0]["values"] == [0.1, "inf"]


def test_a_run_is_named_by_its_id_or_its_folder_too(study):
    some = {name: study.launch(name, {"sft": row}) for name, row in (("x", HALF), ("y", BEST))}
    runs = study.runs(**{"beta=1 a": some["x"], "beta=2 b": some["y"]})
    for name in ("beta=2 b", "wb-y", "y"):
        assert build(runs, options(reference=name), "")["reference"] == 1
        assert build(runs, options(cases=[name, "x"]), "")["cases"]["runs"] == [1, 0]
    with pytest.raises(Refusal) as told:
        build(runs, options(reference="z"), "")
    assert """type 'compare.reference="beta=1 a"' with one of these""" in told.value.do


def test_no_text_of_the_csv_is_a_formula(data, tmp_path):
    data["knobs"].append({"name": "+x", "values": ["=1+1", "-b", -0.5]})
    write_csv(data, tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8", newline="")))
    assert [row["'+x"] for row in rows] == ["'=1+1", "'-b", "-0.5"]


def test_what_is_not_there_is_refused_with_what_is(study):
    runs = study.runs(
        one=study.launch("one", {"markov": HALF}), two=study.launch("two", {"sft": HALF})
    )
    with pytest.raises(Refusal, match=r"compare\.policies=.*no run has results of these") as told:
        build(runs, options(policies=["grpo"]), "")
    assert told.value.allowed == "markov, sft"
    with pytest.raises(Refusal, match=r"compare\.primary=grpo/uni3/hr@1: no run has") as told:
        build(runs, options(primary="grpo/uni3/hr@1"), "")
    assert "sft/uni3/hr@1" in told.value.allowed
    with pytest.raises(Refusal, match=r"compare\.reference=three: no run of this name") as told:
        build(runs, options(reference="three"), "")
    assert told.value.allowed == "one, two"


def test_what_to_beware_of_is_said(study):
    one = study.launch("one", {"sft": HALF, "grpo": HALF})
    two = study.launch("two", {"sft": BEST}, asked={"hint": True})
    three = study.launch("three", {"sft": BEST[:20]})
    dead = study.write("dead", [], "failed", {}, [], {})
    found = build(study.runs(one=one, two=two, three=three, dead=dead), options(), "")
    told = " ".join(found["notes"])
    assert "failed: dead" in told
    assert "uni3: three did not rank the samples of one" in told
    assert "two and one differ in evaluate.hint: True and False" in told
    assert "grpo: not in two, three" in told and "popularity" not in told
    assert found["values"]["sft/uni3/hr@1"]["mean"] == [0.5, 1.0, 1.0, None]


def test_a_table_a_policy_best_first_and_what_is_the_same_in_a_line(data, monkeypatch):
    text = said(data, monkeypatch)
    assert "popularity under uni3 comes to the same in all 3 runs: HR@1 0.500 ±0.1" in text
    assert "grpo under uni3, best NDCG@2 first; differences from run a, p by Holm" in text
    lines = [line.split() for line in text.splitlines() if line.startswith("  ") and line.strip()]
    best, same = (next(line for line in lines if line[0] == name) for name in ("b", "a,"))
    assert best[:2] == ["b", "1"] and best[-4] == "+0.5000" and best[-1] == "0.001"
    assert same[:3] == ["a,", "c", "*"] and same[-1] == "reference"  # one ranking, one row
    assert lines.index(best) < lines.index(same)
    narrow = said(data, monkeypatch, width=80)
    assert max(map(len, narrow.splitlines())) <= 80 and "HR@1" not in narrow.split("grpo under")[1]
    assert "grpo.beta" in narrow


def test_many_rows_are_cut_and_the_reference_stays(study, monkeypatch):
    made = {f"r{n}": study.launch(f"r{n}", {"grpo": [1] * n + [4] * (40 - n)}) for n in range(30)}
    text = said(build(study.runs(**made), options(samples=0), ""), monkeypatch)
    assert "r29 " in text and "r10 " in text and "r9 " not in text
    assert "r0 " in text and "and 9 more in the files" in text


def test_the_csv_has_a_row_a_run_and_empty_cells_for_what_is_not_known(data, tmp_path):
    write_csv(data, tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8", newline="")))
    assert [row["name"] for row in rows] == ["a", "b", "c"]
    assert [row["grpo.beta"] for row in rows] == ["0", "1", "2"]
    assert rows[1]["grpo/uni3/hr@1"] == "1.0" and rows[1]["grpo/uni3/hr@1 difference"] == "0.5"
    assert rows[0]["grpo/uni3/hr@1 p (Holm)"] == "" and rows[0]["gpu_memory"] == ""
    write_data(data, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == data
