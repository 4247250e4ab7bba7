"""The fit of one recommender, and the ranking of the policy that stands on it."""

import json

import numpy as np
import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.stage.base import Job
from mllmrec.stage.fit import Fit
from tests.launching import SMALL, config, make

QUICK = ("recommender.sasrec.max_epochs=2", "recommender.sasrec.hidden_size=16")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return make(Store(root=tmp_path_factory.mktemp("store")), "stage=prepare", *SMALL)["prepare"]


def stage(name="sasrec", history_length=8):
    return Fit(recommender=name, history_length=history_length)


def test_a_policy_that_is_a_recommender_stands_on_its_fit(prepared, tmp_path):
    """Rankings of drawn candidates are those of the catalogue's scores."""
    made = config(*SMALL, *QUICK, "evaluate.policies=[sasrec]")
    rank = made.goal.inputs(made)["sasrec"]
    below = rank.inputs(made)
    assert set(below) == {"prepare", "fit"} and below["fit"].label == "fit sasrec"
    folders = {"prepare": prepared.folder, "fit": tmp_path / "fit"}
    for name in ("fit", "rank"):
        (tmp_path / name).mkdir()
    groups = {"recommender": made.groups["recommender"]}
    job = Job(out=folders["fit"], inputs={"prepare": prepared.folder}, groups=groups, seed=0)
    found = below["fit"].run(job)
    told = json.loads((folders["fit"] / "fit.json").read_text())
    assert found["ndcg@10"] == told["best"]["ndcg@10"] and found["epochs"] == 2.0
    assert told["history_length"] == made.stages["prepare"].history_length
    assert "seconds" not in told  # the same command gives the same bytes
    rank.run(Job(out=tmp_path / "rank", inputs=folders, groups={}, seed=0))
    from mllmrec.recommender.fitted import catalogue_of
    from mllmrec.records import Prepared

    data = Prepared(prepared.folder)
    samples, table = data.samples("test"), pl.read_parquet(tmp_path / "rank" / "uni9.parquet")
    scores = catalogue_of(folders["fit"], data)(samples["history"].to_list())
    column = {item: number for number, item in enumerate(data.items["item_id"])}
    for row, ranked, best in zip(scores, table["ranked"], table["scores"], strict=True):
        assert [float(row[column[item]]) for item in ranked] == best.to_list()
        assert best.to_list() == sorted(best, reverse=True)
    assert len(np.unique(scores, axis=0)) > 1


def test_only_its_own_recommender_splits_an_identity():
    def identity(*words):
        return stage().effective(config(*words))

    assert identity() == identity("recommender.gru4rec.hidden_size=8")
    assert identity() != identity("recommender.sasrec.hidden_size=8")
    assert identity() == identity("recommender.sasrec.tune.minutes=3")  # no trials, no effect
    assert identity("recommender.sasrec.tune.trials=2") != identity()


def test_it_sees_as_much_of_a_history_as_samples_have():
    made = config("prepare.history_length=5", "evaluate.policies=[gru4rec]")
    rank = made.goal.inputs(made)["gru4rec"]
    assert rank.inputs(made)["fit"].history_length == 5


def test_recommenders_that_nobody_ranks_are_not_fitted():
    made = config("evaluate.policies=[random,gru4rec]")
    ranks = made.goal.inputs(made).values()
    assert [one.inputs(made)["fit"].label for one in ranks if "fit" in one.inputs(made)] == [
        "fit gru4rec"
    ]


def test_an_unknown_knob_of_a_space_is_refused_before_anything_is_begun():
    with pytest.raises(Refusal, match=r"recommender\.sasrec.*unknown knobs \['dropuot'\]"):
        config("+recommender.sasrec.tune.space.dropuot=[0.1]")


def test_a_policy_that_is_no_recommender_of_the_list_is_refused():
    with pytest.raises(Refusal, match=r"unknown policies \['gru4rec'\], known: .*sasrec"):
        config("recommender=[sasrec]", "evaluate.policies=[gru4rec]")
