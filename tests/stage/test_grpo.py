import pytest

from tests.launching import config, ids


def test_it_stands_on_the_merged_model():
    made = config()
    assert made.stages["grpo"].inputs(made)["model"] is made.stages["merge"]


@pytest.mark.parametrize(
    "word",
    [
        "reward.hit_format.miss=0.0",
        "algorithm=dr_grpo",
        "grpo.beta=0.3",
        "algorithm.epsilon=0.1",
    ],
)
def test_what_it_optimises_is_its_identity_and_nobody_elses(word):
    before, after = ids(), ids(word)
    changed = {label for label in before if before[label] != after[label]}
    assert changed == {"grpo", "rank grpo", "evaluate"}


def test_how_often_it_saves_is_not():
    assert ids("grpo.save_steps=30")["grpo"] == ids()["grpo"]
