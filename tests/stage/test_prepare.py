import json
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from pydantic import ValidationError

from mllmrec.errors import Refusal
from mllmrec.records import ITEMS, SAMPLES, SEQUENCES, Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.prepare import Prepare

CONF = Path(__file__).parents[2] / "conf"


def values(*path):
    return yaml.safe_load(CONF.joinpath(*path).read_text(encoding="utf-8"))


def dataset(name, /, **over):
    told = values("dataset", f"{name}.yaml")
    module, kind = told.pop("_target_").rsplit(".", 1)
    return getattr(import_module(module), kind)(**told | over)


def stage(**over):
    told = values("stage", "prepare.yaml")["prepare"]
    del told["_target_"]
    return Prepare(**told | over)


def build(out, data, seed=0, **over):
    out.mkdir(parents=True, exist_ok=True)
    metrics = stage(**over).run(Job(out=out, inputs={}, groups={"dataset": data}, seed=seed))
    return Prepared(out), metrics


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return build(tmp_path_factory.mktemp("toy"), dataset("toy", poster_size=16))


def test_the_tables_have_their_columns(toy):
    prepared, metrics = toy
    assert prepared.items.schema == ITEMS
    assert prepared.sequences.schema == SEQUENCES
    for split in ("train", "validation", "test"):
        added = ["train"] if split == "train" else ["uni9", "uni99", "pop9"]
        listed = {name: pl.List(pl.String) for name in added}
        assert prepared.samples(split).schema == pl.Schema(SAMPLES | listed)
        assert metrics[f"{split}_samples"] == prepared.samples(split).height
    assert prepared.samples("test").height >= 1500


def test_history_of_test_ends_with_the_item_of_validation(toy):
    prepared, _ = toy
    both = prepared.samples("test").join(
        prepared.samples("validation"), on="user_id", suffix="_before"
    )
    assert (both["history"].list.last() == both["target_before"]).all()
    last = prepared.samples("train").group_by("user_id", maintain_order=True).last()
    last = last.join(prepared.sequences, on="user_id")
    assert (last["target"] == last["items"].list.last()).all()
    met = prepared.sequences.select("user_id", "items").explode("items")
    held = both.select("user_id", pl.col("target").alias("items"))
    assert held.join(met, on=["user_id", "items"], how="semi").is_empty()


def rates(prepared, scored):
    """HR@3 on uni9 of a table of scores: (users, items in the order of the table)."""
    test = prepared.samples("test")
    number = {item: index for index, item in enumerate(prepared.items["item_id"])}
    places = np.array([[number[item] for item in row] for row in test["uni9"]])
    target = np.array([number[item] for item in test["target"]])
    chosen = np.take_along_axis(scored, places, axis=1)
    own = np.take_along_axis(scored, target[:, None], axis=1)
    return float(((chosen >= own).sum(axis=1) <= 3).mean())


def test_nothing_beats_the_oracle_and_popularity_is_far_below(toy):
    prepared, metrics = toy
    number = {item: index for index, item in enumerate(prepared.items["item_id"])}
    met = np.zeros((prepared.sequences.height, len(number)))
    for row, items in zip(met, prepared.sequences["items"], strict=True):
        row[[number[item] for item in items]] = 1
    popularity = np.tile(met.sum(axis=0), (len(met), 1))
    together = met.T @ met / np.sqrt(np.outer(met.sum(axis=0), met.sum(axis=0)) + 1e-9)
    np.fill_diagonal(together, 0)
    best = metrics["oracle/uni9/hr@3"]
    assert 0.45 < rates(prepared, popularity) < 0.58
    assert rates(prepared, popularity) + 0.1 < rates(prepared, met @ together) < best - 0.03
    assert 0.79 < best < 0.86
    assert pl.read_parquet(prepared.oracle)["scores"].list.len().unique().to_list() == [10, 100]


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    small = dataset("toy", users=60, items=120, poster_size=16)
    for name in ("a", "b"):
        build(tmp_path / name, small)
    files = [file for file in (tmp_path / "a").rglob("*") if file.is_file()]
    assert len(files) == 120 + 7
    for file in files:
        twin = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == twin.read_bytes(), file.name


def test_the_seed_moves_negatives_and_nothing_else(tmp_path):
    small = dataset("toy", users=60, items=120, poster_size=16)
    one, two = (build(tmp_path / str(seed), small, seed)[0].samples("test") for seed in (0, 1))
    assert one.select(SAMPLES.names()).equals(two.select(SAMPLES.names()))
    assert not one["uni9"].equals(two["uni9"])


@pytest.fixture
def films(tmp_path):
    """Six users who share 30 films in the format of MovieTweetings."""
    (tmp_path / "movies.dat").write_text("".join(f"{film:02d}::F{film}::\n" for film in range(30)))
    rng = np.random.default_rng(0)
    lines = [
        f"{user}::{film:02d}::5::{time}\n"
        for user in range(6)
        for time, film in enumerate(rng.permutation(30)[:8])
    ]
    (tmp_path / "ratings.dat").write_text("".join(lines))
    return dataset("movietweetings", path=str(tmp_path), min_interactions=5, k_core=None)


KNOBS = {"protocols": ["uni9"], "min_history": 2}


def test_adding_a_user_changes_nobody_elses_candidates(films, tmp_path):
    before = build(tmp_path / "a", films, **KNOBS)[0]
    with (tmp_path / "ratings.dat").open("a") as file:
        file.writelines(
            f"new::{int(item):02d}::5::{item}\n" for item in before.items["item_id"][:7]
        )
    after = build(tmp_path / "b", films, **KNOBS)[0]
    for split in ("train", "validation", "test"):
        told = after.samples(split).filter(pl.col("user_id") != "new")
        assert told.equals(before.samples(split))
        assert after.samples(split).height == before.samples(split).height + 1


def test_stats_tell_counts_and_hashes(films, tmp_path):
    _, metrics = build(tmp_path / "a", films, **KNOBS)
    stats = json.loads((tmp_path / "a" / "stats.json").read_text())
    assert stats["counts"]["users"] == metrics["users"] == 6
    assert stats["counts"]["interactions"] == 48
    assert stats["audit"]["target_in_history"] == 0
    assert set(stats["candidates"]) == {"train/train", "validation/uni9", "test/uni9"}
    assert not (tmp_path / "a" / "oracle.parquet").exists()


def test_nobody_is_long_enough(films, tmp_path):
    long = films.model_copy(update={"min_interactions": 9})
    with pytest.raises(Refusal, match=r"nobody has dataset\.min_interactions=9") as told:
        build(tmp_path / "a", long, **KNOBS)
    assert "dataset.k_core=null" in told.value.do
    with pytest.raises(
        Refusal, match="long enough for a train sample: the longest of 6 has 8"
    ) as told:
        build(tmp_path / "a", films, protocols=["uni9"], min_history=6)
    assert "prepare.min_history=1" in told.value.do
    assert not list((tmp_path / "a").glob("*.parquet"))


def test_fewer_items_than_candidates(films, tmp_path):
    with pytest.raises(Refusal, match="uni99 needs 99 negatives, but user") as told:
        build(tmp_path / "a", films, protocols=["uni99"], min_history=2)
    assert "prepare.protocols=[uni" in told.value.do
    assert not list((tmp_path / "a").glob("*.parquet"))


def test_the_published_layout(tmp_path):
    (tmp_path / "x_titles.csv").write_text("".join(f"{item:03d},T{item}\n" for item in range(40)))
    rng = np.random.default_rng(0)
    lines = [[f"{item:03d}" for item in rng.permutation(40)[:12]] for _ in range(50)]
    for part, end in (("train", 11), ("test", 12)):
        rows = [f"u{user}\t{' '.join(items[:end])}\n" for user, items in enumerate(lines)]
        (tmp_path / f"{part}.tsv").write_text("".join(rows))
    data = dataset("reference", path=str(tmp_path))
    prepared, metrics = build(tmp_path / "a", data, protocols=["uni9"], history_length=9)
    test = prepared.samples("test")
    assert test["target"].to_list() == [items[-1] for items in lines]
    assert test["history"].to_list() == [items[2:11] for items in lines]
    assert metrics["train_samples"] + metrics["validation_samples"] == 50
    assert set(test["sample_id"]).isdisjoint(prepared.samples("train")["sample_id"])


@pytest.mark.parametrize(
    "over",
    [
        {"protocols": ["uni0"]},
        {"protocols": ["best9"]},
        {"protocols": []},
        {"protocols": ["uni9", "uni9"]},
        {"min_history": 9},
    ],
)
def test_knobs_that_make_no_sense(over):
    with pytest.raises(ValidationError):
        stage(**over)


def test_the_identity_holds_the_knobs_and_the_data():
    assert set(stage().knobs()) >= {"history_length", "min_history", "protocols", "train_protocol"}
    assert Prepare.uses == ("dataset",)
