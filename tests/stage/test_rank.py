"""Rankings of the policies that need no model, on a toy dataset."""

from types import SimpleNamespace

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.records import Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.rank import POLICIES, Rank, write_ranking
from tests.launching import SMALL, config, make


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return make(Store(root=tmp_path_factory.mktemp("store")), "stage=prepare", *SMALL)["prepare"]


def stage(policy, **more):
    goal = config("prepare.protocols=[uni9]").goal
    made = goal.inputs(config("prepare.protocols=[uni9]"))[policy]
    return made.model_copy(update=more)


def rank(prepared, tmp_path, policy, seed=0):
    job = Job(out=tmp_path, inputs={"prepare": prepared.folder}, groups={}, seed=seed)
    stage(policy).run(job)
    return pl.read_parquet(tmp_path / "uni9.parquet")


def test_every_candidate_is_ranked_once_and_the_rank_is_the_targets_place(prepared, tmp_path):
    table = rank(prepared, tmp_path, "popularity")
    samples = Prepared(prepared.folder).samples("test")
    assert table["sample_id"].to_list() == samples["sample_id"].to_list()
    assert set(table["policy"]) == {"popularity"} and set(table["protocol"]) == {"uni9"}
    rows = zip(table.iter_rows(named=True), samples.iter_rows(named=True), strict=True)
    for row, sample in rows:
        assert sorted(row["ranked"]) == sorted(sample["uni9"])
        assert row["ranked"].index(sample["target"]) + 1 == row["rank"]
        assert row["scores"] == sorted(row["scores"], reverse=True)


def test_the_oracle_ranks_by_the_scores_that_prepare_stored(prepared, tmp_path):
    table = rank(prepared, tmp_path, "oracle")
    stored = pl.read_parquet(prepared.folder / "oracle.parquet").filter(protocol="uni9")
    scores = dict(zip(stored["sample_id"], stored["scores"].to_list(), strict=True))
    for row in table.iter_rows(named=True):
        assert row["scores"] == sorted(scores[row["sample_id"]], reverse=True)
    hits = (table["rank"] <= 3).mean()
    assert hits == pytest.approx(prepared.manifest["metrics"]["oracle/uni9/hr@3"])
    assert hits > (rank(prepared, tmp_path, "random")["rank"] <= 3).mean()


def test_chance_depends_on_the_seed_and_popularity_does_not_but_for_ties(prepared, tmp_path):
    first, same, other = (
        rank(prepared, tmp_path, "random", seed=seed)["rank"].to_list() for seed in (1, 1, 2)
    )
    assert first == same != other
    assert sorted(set(first)) == list(range(1, 11))


def test_unequal_numbers_of_candidates(tmp_path):
    job = SimpleNamespace(out=tmp_path, seed=0)
    rows = {"sample_id": ["1", "2"], "target": ["a", "d"], "full": [["a", "b", "c"], ["d", "e"]]}
    write_ranking(job, "x", "full", pl.DataFrame(rows), [[1.0, 3.0, 2.0], [1.0, 0.5]])
    table = pl.read_parquet(tmp_path / "full.parquet")
    assert table["ranked"].to_list() == [["b", "c", "a"], ["d", "e"]]
    assert table["scores"].to_list() == [[3.0, 2.0, 1.0], [1.0, 0.5]]
    assert table["rank"].to_list() == [3, 1]


def test_each_policy_stands_on_what_it_needs_and_on_no_more():
    made = config()
    needs = {policy: set(stage(policy).inputs(made)) for policy in POLICIES}
    for policy in ("random", "popularity", "cooccurrence", "oracle"):
        assert needs[policy] == {"prepare"}
        assert set(stage(policy).effective(made)) == {"knobs"}  # no backbone, no prompt
    for policy in ("backbone", "backbone_text", "sft"):
        assert needs[policy] == {"prepare", "model"}
    for policy in ("grpo", "sft_continued"):
        assert needs[policy] == {"prepare", "model", "adapter"}
        assert stage(policy).inputs(made)["adapter"].name == policy
    assert stage("backbone").inputs(made)["model"].name == "pretrain"
    assert stage("sft").inputs(made)["model"].name == "merge"


def test_fewer_samples_are_a_part_of_more_and_the_same_for_every_policy(prepared, tmp_path):
    found = {}
    for policy, most in (("random", 10), ("popularity", 10), ("random", 30)):
        job = Job(out=tmp_path, inputs={"prepare": prepared.folder}, groups={}, seed=3)
        stage(policy, samples={"uni9": most}).run(job)
        found[policy, most] = pl.read_parquet(tmp_path / "uni9.parquet")["sample_id"].to_list()
    assert found["random", 10] == found["popularity", 10]
    assert len(found["random", 10]) == 10 and len(found["random", 30]) == 30
    assert set(found["random", 10]) < set(found["random", 30])


def test_the_label_names_the_policy():
    assert stage("random").label == "rank random" and Rank.name == "rank"
