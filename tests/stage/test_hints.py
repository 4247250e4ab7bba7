"""Rationales for validation and test samples: written as those of training, never chosen."""

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.hints import Hints, hints_of
from tests.launching import SMALL, config, ids, make

WORDS = ("stage=assess", *SMALL)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    found = make(Store(root=tmp_path_factory.mktemp("store")), "stage=caption", *SMALL)
    return {"prepare": found["prepare"].folder, "captions": found["caption"].folder}


@pytest.fixture
def hints(inputs, tmp_path):
    def run(*words, samples=5):
        conf = config(*WORDS, *words)
        stage = hints_of(conf, "validation", samples, "probe")["hints"]
        groups = {name: conf.groups[name] for name in Hints.uses}
        metrics = stage.run(Job(out=tmp_path, inputs=inputs, groups=groups, seed=3))
        return metrics, pl.read_parquet(tmp_path / "rationales.parquet")

    return run


def test_they_are_those_of_the_first_samples_by_a_hash(inputs, hints):
    metrics, table = hints()
    wanted = Prepared.of(inputs).chosen("validation", 5, 3, "probe")
    assert table["sample_id"].to_list() == wanted["sample_id"].to_list()
    assert metrics["hints"] == 5 and metrics["stopped_by_gate"] == 0
    few = Prepared.of(inputs).chosen("validation", 3, 3, "probe")["sample_id"]
    assert set(few) < set(wanted["sample_id"])


def test_a_writer_that_is_told_the_target_is_stopped_by_the_gate(hints):
    metrics, table = hints("reasoner.reveal_target=true")
    assert metrics["stopped_by_gate"] == 5 and table.is_empty()
    metrics, table = hints("reasoner.reveal_target=true", "assess.gate=false")
    assert metrics["stopped_by_gate"] == 0 and len(table) == 5


def test_the_probe_and_the_test_have_theirs_only_where_they_are_asked_for():
    assert "hints validation" in ids("cot_prob=0.1") and "hints test" not in ids("cot_prob=0.1")
    assert "hints validation" not in ids("cot_prob=0")
    asked = ids("cot_prob=0", "evaluate.hint=true")
    assert (
        "hints test" in asked and asked["rank popularity"] == ids("cot_prob=0")["rank popularity"]
    )
    assert asked["rank sft"] != ids("cot_prob=0")["rank sft"]
    assert asked["rank backbone_text"] == ids("cot_prob=0")["rank backbone_text"]


def test_no_hint_at_the_test_tells_the_target():
    with pytest.raises(Refusal, match="would tell it the target of the test"):
        config("evaluate.hint=true", "reasoner.reveal_target=true")
