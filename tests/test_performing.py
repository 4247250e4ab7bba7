"""A lack of memory is told with the knob to lower; any other fault stays what it is."""

import pytest

from mllmrec.errors import Refusal
from mllmrec.performing import perform
from mllmrec.stage.base import Job
from tests.launching import config


@pytest.fixture
def job(tmp_path):
    return Job(out=tmp_path, inputs={}, groups={}, seed=0)


def failing(stage: str, error: Exception, monkeypatch):
    made = config(f"stage={stage}").goal
    monkeypatch.setattr(type(made), "run", lambda self, job: (_ for _ in ()).throw(error))
    return made


def test_lack_of_memory_is_told_in_three_beats(job, monkeypatch):
    error = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    stage = failing("sft", error, monkeypatch)
    with pytest.raises(Refusal) as found:
        perform(stage, job)
    assert found.value.wrong.startswith("sft: out of memory (CUDA out of memory. Tried to")
    half = stage.tokens_per_batch // 2
    assert f"type sft.tokens_per_batch={half} (it is {stage.tokens_per_batch})" in found.value.do
    assert "sft.gradient_checkpointing=true" in found.value.do


def test_a_stage_without_a_budget_is_told_of_the_backbone(job, monkeypatch):
    with pytest.raises(Refusal, match=r"backbone\.dtype=bfloat16"):
        perform(failing("merge", MemoryError(), monkeypatch), job)


def test_other_faults_are_not_explained_away(job, monkeypatch):
    with pytest.raises(RuntimeError, match="shape"):
        perform(failing("sft", RuntimeError("shape mismatch"), monkeypatch), job)
