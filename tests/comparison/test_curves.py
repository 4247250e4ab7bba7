"""Curves by step, thinned to what a page can hold, and the inflation of the reward."""

from mllmrec.comparison.curves import POINTS, curves, inflations, read, thinned
from tests.comparison.study import Study

ROW = {"sft": [1, 2, 3, 4]}


def test_thinning_keeps_both_ends_and_an_even_step():
    assert thinned([1, 2, 3], 5) == [1, 2, 3]
    assert thinned(list(range(101)), 5) == [0, 25, 50, 75, 100]


def test_a_curve_a_run_stage_and_number(tmp_path):
    study = Study(tmp_path)
    long = [{"step": float(n), "loss": 1.0 / n, "epoch": 0.1} for n in range(1, 1001)]
    short = [{"step": 1.0, "loss": 2.0}, {"step": 2.0, "reward": 0.3}]
    one = study.launch("one", ROW, histories={"sft": long})
    two = study.launch("two", ROW, histories={"grpo": short})
    found = curves(read(study.runs(one=one, two=two)))
    assert [(one["run"], one["name"]) for one in found] == [(0, "sft/loss")]  # a point is no curve
    assert len(found[0]["x"]) == POINTS
    assert (found[0]["x"][0], found[0]["x"][-1], found[0]["y"][-1]) == (1.0, 1000.0, 0.001)


def test_inflation_is_what_train_gains_beyond_the_probe(tmp_path):
    study = Study(tmp_path)
    looks = [
        {"step": 0.0, "probe/ndcg@5": 0.3, "probe/reward": 0.2, "probe/hint/reward": 0.25},
        {"step": 1.0, "reward": 0.4},
        {"step": 5.0, "probe/ndcg@5": 0.3, "probe/reward": 0.2, "probe/train_reward": 0.4},
        {"step": 9.0, "probe/ndcg@5": 0.3, "probe/reward": 0.25, "probe/train_reward": 0.6},
    ]
    one = study.launch("one", ROW, histories={"grpo": looks})
    two = study.launch("two", ROW)
    (found,) = inflations(read(study.runs(two=two, one=one)))
    assert found["run"] == 1
    assert found["x"] == [0.0, 5.0, 9.0]
    assert found["train"] == [None, 0.4, 0.6]
    assert found["probe"] == [0.2, 0.2, 0.25]
    assert found["hint"] == [0.25, None, None]
    assert abs(found["ri"] - 0.15) < 1e-12  # (0.6 − 0.4) − (0.25 − 0.2)
