"""What a search may vary is checked before anything is begun."""

import pytest
from pydantic import ValidationError

from tests.recommender.cycle import knobs

RATES = {"low": 1e-3, "high": 1e-1, "log": True}


def space(name="sasrec", trials=1, **among):
    return knobs(name, tune={"trials": trials, "minutes": None, "space": among})


def test_a_space_of_knobs_is_taken():
    made = space(learning_rate=RATES, hidden_size={"low": 8, "high": 32, "log": False}, heads=[2])
    assert made.tune.space["learning_rate"].high == 0.1
    assert isinstance(made.tune.space["hidden_size"].low, int)


@pytest.mark.parametrize(
    ("among", "said"),
    [
        ({"lerning_rate": RATES}, r"unknown knobs \['lerning_rate'\], known: batch_size"),
        ({"validate_every": [1, 2]}, r"unknown knobs \['validate_every'\]"),
        ({"alpha": [0.1]}, r"unknown knobs \['alpha'\]"),
        ({"dropout": [0.1, 1.5]}, r"tune.space, at {'dropout': 1.5}: Input should be less than 1"),
        ({"dropout": {"low": 0.5, "high": 2.0, "log": False}}, r"at {'dropout': 2.0}"),
        ({"hidden_size": [8, 16], "heads": [2, 16]}, r"heads divide hidden_size, not 16 and 8"),
        ({"dropout": {"low": 0.5, "high": 0.1, "log": False}}, "low < high"),
        ({"learning_rate": {"low": 0.0, "high": 0.1, "log": True}}, "0 < low where log=true"),
        ({}, r"tune\.space is empty"),
    ],
)
def test_what_could_not_be_tried_is_refused(among, said):
    with pytest.raises(ValidationError, match=said):
        space(**among)


def test_a_search_without_trials_changes_nothing():
    assert space(trials=0, dropout=[0.1]).knobs() == space(trials=0).knobs()
    assert space(trials=2, dropout=[0.1]).knobs() != space(trials=3, dropout=[0.1]).knobs()
    assert "tune" not in knobs("sasrec").knobs()


def test_other_values_of_some_knobs():
    made = space(dropout=[0.1]).at({"dropout": 0.25})
    assert made.dropout == 0.25 and made.tune.trials == 0
    assert made.settings() == {**knobs("sasrec").settings(), "dropout": 0.25}
