"""What runs cost: each stage's seconds count for whoever stands on it."""

import json

from mllmrec.comparison.costs import costs
from tests.comparison.study import Study


def test_seconds_tokens_and_memory_by_run(tmp_path):
    study = Study(tmp_path)
    one = study.launch("one", {"sft": [1, 2]}, histories={"sft": [{"step": 1.0}]})
    two = study.launch("two", {"sft": [1, 2]})
    told = json.loads((two / "run.json").read_text())
    told["columns"] |= {"grpo/num_tokens": 30.0, "pretrain/num_tokens": 4.0}
    for label in ("grpo", "pretrain"):
        told["steps"].append({**told["steps"][0], "label": label, "folder": f"/gone/{label}"})
    told["peak_gpu_memory"] = 77
    for step in told["steps"]:
        step["seconds"] = None  # another launch has built them; their manifests know
    (two / "run.json").write_text(json.dumps(told))
    found = costs(study.runs(one=one, two=two))
    assert found["seconds"] == [5.0, 5.0]
    assert found["built_seconds"] == [8.0, 6.0]  # four artifacts and three, two seconds each
    assert found["tokens"] == [None, 34.0]
    assert found["memory"] == [1000, 1000] and found["gpu_memory"] == [None, 77]
    stages = {stage["name"]: stage["seconds"] for stage in found["stages"]}
    assert stages["sft"] == [2.0, None] and stages["rank sft"] == [2.0, 2.0]


def test_what_several_runs_stand_on_is_one_part(tmp_path):
    study = Study(tmp_path)
    made = {name: study.launch(name, {"sft": [1, 2]}) for name in ("a", "b")}
    made["c"] = study.launch("c", {"sft": [2, 2]})  # another ranking and evaluation
    parts = costs(study.runs(**made))["parts"]["built_seconds"]
    assert parts["runs"] == [[0, 1, 2], [0, 1, 2], [0, 3, 4]]
    assert parts["of"] == [2.0] * 5 == [2.0] * len([*study.store.root.rglob("manifest.json")])
