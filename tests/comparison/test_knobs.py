"""Which knobs are told of: those that differ, by the names that people type."""

import json
from uuid import uuid4

import pytest

from mllmrec.comparison.knobs import knobs
from tests.comparison.study import Study

ROW = {"sft": [1, 2, 3, 4]}


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def told(study, *launches):
    made = {
        f"r{n}": study.launch(f"{uuid4()}", ROW, words, **config)
        for n, (words, config) in enumerate(launches)
    }
    return knobs(study.runs(**made))


def test_knobs_that_differ_stand_by_run_and_typed_ones_first(study):
    apart, same = told(
        study,
        (["grpo.beta=0.1"], {"grpo": {"beta": 0.1}, "cot_prob": 0.1}),
        (["grpo.beta=0.3"], {"grpo": {"beta": 0.3}, "cot_prob": 0.2}),
        ([], {"grpo": {"beta": 0.1}, "cot_prob": 0.2}),
    )
    assert [(one["name"], one["values"]) for one in apart] == [
        ("grpo.beta", [0.1, 0.3, 0.1]),
        ("cot_prob", [0.1, 0.2, 0.2]),
    ]
    assert same["seed"] == 42 and same["dataset"] == "toy"


def test_what_follows_a_typed_knob_is_named_with_it(study):
    apart, _ = told(
        study,
        (["cot_prob=0"], {"cot_prob": 0, "sft": {"cot_prob": 0}, "grpo": {"cot_prob": 0.5}}),
        (["cot_prob=1"], {"cot_prob": 1, "sft": {"cot_prob": 1}, "grpo": {"cot_prob": 0.7}}),
    )
    assert apart[0] == {"name": "cot_prob", "values": [0, 1], "also": ["sft.cot_prob"]}
    assert apart[1]["name"] == "grpo.cot_prob"


def test_groups_go_by_what_was_chosen(study):
    targets = {"a": "mllmrec.reward.hit.Hit", "b": "mllmrec.reward.hit_format.HitFormat"}
    nodes = {name: {"_target_": target, "weight": 1.0} for name, target in targets.items()}
    apart, _ = told(
        study,
        (
            ["reward=a"],
            {"reward": {"a": nodes["a"]}, "backbone": {"_target_": "m.backbone.tiny.T"}},
        ),
        (["reward=b"], {"reward": nodes, "backbone": {"_target_": "m.backbone.pretrained.P"}}),
    )
    by = {one["name"]: one["values"] for one in apart}
    assert by["reward"] == ["a", "a+b"]
    assert by["backbone"] == ["tiny", "pretrained"]
    assert by["reward.b.weight"] == [None, 1.0]  # the first run has no such knob
    assert not any("_target_" in name for name in by)


def test_what_says_nothing_of_a_result_is_left_out_unless_typed(study):
    apart, same = told(
        study,
        (["experiment=debug", "threads=1", "artifacts=a"], {"threads": 1, "artifacts": "a"}),
        (["experiment=leak", "threads=2", "artifacts=b"], {"threads": 2, "artifacts": "b"}),
    )
    assert {one["name"]: one["values"] for one in apart} == {
        "experiment": ["debug", "leak"],
        "threads": [1, 2],
    }
    assert "artifacts" not in same
    apart, _ = told(study, (["experiment=debug"], {"threads": 1}), ([], {"threads": 2}))
    assert apart == [{"name": "experiment", "values": ["debug", None], "also": []}]


def test_lists_are_told_as_text_and_true_is_not_one(study):
    apart, _ = told(
        study,
        ([], {"evaluate": {"k": [1, 3], "hint": True}}),
        ([], {"evaluate": {"k": [1, 5], "hint": 1}}),
    )
    assert {one["name"]: one["values"] for one in apart} == {
        "evaluate.k": ["[1,3]", "[1,5]"],
        "evaluate.hint": [True, 1],
    }


def test_an_algorithm_goes_by_its_name_and_parts_by_theirs(study):
    def composed(policy):
        part = {"_target_": f"mllmrec.algorithm.policy.{policy}.Some", "ratio": 0.5}
        return {"_target_": "mllmrec.algorithm.base.Algorithm", "policy": part, "group": {}}

    folders = {
        name: study.launch(name, ROW, algorithm=composed(policy))
        for name, policy in (("grpo", "clip"), ("riser", "kl_cov"))
    }
    for name, folder in folders.items():
        told = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**told, "choices": {"algorithm": name}}))
    apart, _ = knobs(study.runs(**folders))
    assert {one["name"]: one["values"] for one in apart} == {
        "algorithm": ["grpo", "riser"],
        "algorithm.policy": ["clip", "kl_cov"],
    }
