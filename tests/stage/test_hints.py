"""Rationales for validation and test samples: written as those of training, never chosen."""

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.records import RATIONALES, Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.hints import Hints, hints_of
from mllmrec.training.rationales import drafts
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
    with pytest.raises(Refusal, match="has taught no model to read one"):
        config("evaluate.hint=true", "prompt.inject=none")


def test_rationales_made_elsewhere_are_the_probes_hints_where_they_are_of_its_samples(
    inputs, tmp_path
):
    conf = config(*WORDS)
    data = Prepared.of(inputs)
    samples = data.chosen("validation", 5, 3, "probe")
    rows = [
        {"sample_id": id, "text": text, "writer": "adopted"}
        for id, text in zip(samples["sample_id"], ["a comedy", "", "x"], strict=False)
    ]
    rows[1]["text"] = f"so it is [ITEM_{samples['target'][1]}]"
    rows.append({"sample_id": "somebody else's", "text": "y", "writer": "adopted"})
    made, out = tmp_path / "refine", tmp_path / "out"
    made.mkdir()
    out.mkdir()
    pl.DataFrame(rows, schema=RATIONALES).write_parquet(made / "held.parquet")
    stage = hints_of(conf, "validation", 5, "probe")["hints"].model_copy(update={"adopted": True})
    groups = {name: conf.groups[name] for name in Hints.uses}
    metrics = stage.run(Job(out=out, inputs={**inputs, "adopted": made}, groups=groups, seed=3))
    found = drafts(out)
    assert found == {samples["sample_id"][0]: "a comedy", samples["sample_id"][2]: "x"}
    assert metrics["hints"] == 2 and metrics["stopped_by_gate"] == 1


def test_adopted_rationales_hint_at_validation_samples_alone(tmp_path):
    file = tmp_path / "x_deepseek_cot.json"
    file.write_text("[]")
    typed = (f"refine.adopt={file}", "stage=grpo")
    found = ids(*typed)
    assert "hints validation" in found and "pseudo_cot" not in found
    assert ids(*typed, "reasoner.recent=5") == found  # no reasoner has a say
    with pytest.raises(Refusal, match=r"refine\.adopt=.*has no hints for test samples"):
        ids(f"refine.adopt={file}", "evaluate.hint=true")
