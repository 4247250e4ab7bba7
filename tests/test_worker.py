"""A stage and its groups, written to a file and made again by a worker, are the same ones."""

import json

import pytest

from mllmrec.artifacts import Store
from mllmrec.plan import plan
from mllmrec.stage.base import Job
from mllmrec.worker import unpacked, written
from tests.launching import config

GRIDS = [(), ("evaluate.mode=generate",), ("algorithm=exact", "cot_prob=0"), ("prompt=reference",)]


@pytest.mark.parametrize("words", GRIDS)
def test_every_stage_that_spreads_comes_back_as_it_was(words, tmp_path):
    made = config(*words, "parallel=ddp", "parallel.processes=2")
    steps = [s for s in plan(made, Store(root=tmp_path)) if s.stage.spreads]
    assert {"pretrain", "sft", "grpo", "rank grpo"} <= {step.label for step in steps}
    for step in steps:
        groups = {name: made.groups[name] for name in step.stage.uses}
        job = Job(out=tmp_path, inputs={}, groups=groups, seed=1)
        told = json.loads(json.dumps(written(step.stage, job, made.parallel, None)))
        assert unpacked(told["stage"]) == step.stage
        assert type(unpacked(told["stage"])) is type(step.stage)
        assert {name: unpacked(node) for name, node in told["groups"].items()} == groups
        assert unpacked(told["parallel"]) == made.parallel


def test_a_job_names_parts_of_a_config_and_nothing_else():
    with pytest.raises(TypeError, match="no part of a config"):
        unpacked({"kind": "subprocess.Popen", "knobs": {}, "parts": {}})
