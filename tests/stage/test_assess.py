"""Which rationales are kept; the pass over a model is another artifact's, and is not repeated."""

import json

import polars as pl
import pytest

from mllmrec.artifacts import REPORT
from mllmrec.errors import Refusal
from mllmrec.records import ITEMS, SAMPLES
from mllmrec.stage.base import Job
from mllmrec.training.rationales import choose, read
from tests.launching import config, ids

ROWS = [
    ("a", "teal circles", 0.2, 0.4),
    ("b", "it is Alien", 1.0, 1.0),
    ("c", "teal rings", 0.6, 0.8),
    ("d", "red waves", 0.4, 0.2),
]
COLUMNS = ["sample_id", "text", "modality", "prediction"]


@pytest.fixture
def assess(tmp_path):
    below, out = tmp_path / "components", tmp_path / "out"
    below.mkdir()
    out.mkdir()
    pl.DataFrame(ROWS, schema=COLUMNS, orient="row").write_parquet(below / "components.parquet")
    items = [("1", "Heat", None, [], None), ("2", "Alien", None, [], None)]
    pl.DataFrame(items, schema=ITEMS, orient="row").write_parquet(below / "items.parquet")
    rows = [(id, "u", ["1"], "2") for id, *_ in reversed(ROWS)]
    pl.DataFrame(rows, schema=SAMPLES, orient="row").write_parquet(below / "train.parquet")
    inputs = {"components": below, "prepare": below}

    def run(*words):
        stage = config("stage=assess", *words).goal
        return stage.run(Job(out=out, inputs=inputs, groups={}, seed=0)), out

    return run


def test_only_what_was_kept_is_learnt_from(assess):
    metrics, out = assess("assess.share=0.5")
    assert metrics["kept"] == 2 and metrics["share_stopped_by_gate"] == 0.25
    assert read({"rationales": out}) == {"a": "teal circles", "c": "teal rings"}
    table = pl.read_parquet(out / "rationales.parquet")
    assert {"leak", "modality", "prediction", "confidence", "kept", "why"} <= {*table.columns}


def test_without_the_gate_a_leak_is_the_most_confident_of_all(assess):
    metrics, out = assess("assess.gate=false", "assess.share=0.25")
    assert read({"rationales": out}) == {"b": "it is Alien"}
    assert metrics["share_leaking"] == 0.25 and metrics["share_stopped_by_gate"] == 0


def test_the_report_is_shown_to_people(assess, capsys):
    _, out = assess()
    told = json.loads((out / REPORT).read_text())
    assert told["best"][0]["sample_id"] == "c" and told["worst"][0]["sample_id"] == "b"
    config("stage=assess").goal.show(out)
    said = capsys.readouterr().out
    assert "4 rationales, 2 kept, 1 name the target" in said and "teal rings" in said


def test_another_rule_repeats_no_pass():
    base = ids("stage=assess")
    words = ("assess.share=0.1", "assess.gate=false", "assess.weights.modality=0.9")
    for word in (*words, "assess.title_words=3"):
        other = ids("stage=assess", word)
        assert other["consistency"] == base["consistency"] and other["assess"] != base["assess"]
    by_threshold = ids("stage=assess", "assess.keep=threshold")
    assert by_threshold["consistency"] == base["consistency"]
    assert by_threshold["assess"] != base["assess"]
    assert ids("stage=assess", "assess.embedder=DIR")["consistency"] != base["consistency"]


def test_a_share_beyond_what_was_kept_says_so(caplog):
    samples, texts = [f"s{n}" for n in range(10)], {"s1": "x", "s2": "y"}
    assert choose(samples, texts, 0.5, 0, "sft") == texts
    assert "sft.cot_prob=0.5 asks for 5 rationales, 2 were kept" in caplog.text


def test_what_cannot_be_is_refused():
    with pytest.raises(Refusal, match="one of the weights must be above 0"):
        config("assess.weights.modality=0", "assess.weights.prediction=0")
    with pytest.raises(Refusal, match=r"stage=assess has no knobs of sft.*"):
        config("stage=assess", "assess.scorer=sft_plain")
