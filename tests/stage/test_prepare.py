import json
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from pydantic import ValidationError

from mllmrec.errors import Refusal
from mllmrec.records import ITEMS, OWNED, POPULARITY, SAMPLES, SEQUENCES, TIMES, Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.prepare import Prepare
from tests.launching import config, ids, launch

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
    assert prepared.sequences.schema == pl.Schema(SEQUENCES | TIMES)
    assert prepared.scan("owned").collect_schema() == OWNED
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
    assert len(files) == 120 + 9
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
        {"split": "random"},
        {"temporal": {"validation": 0.5, "test": 0.5}},
        {"protocols": ["hard101"]},
        {"exclude": "nothing"},
    ],
)
def test_knobs_that_make_no_sense(over):
    with pytest.raises(ValidationError):
        stage(**over)


def test_the_identity_holds_the_knobs_and_the_data():
    assert set(stage().knobs()) >= {"history_length", "min_history", "protocols", "train_protocol"}
    assert Prepare.uses == ("dataset",)


def test_the_tables_can_be_read_in_part(toy):
    prepared, metrics = toy
    assert prepared.scan("test").select(pl.len()).collect().item() == metrics["test_samples"]
    told = prepared.scan("popularity").collect()
    assert told.schema == POPULARITY
    assert told["weight"].sum() == prepared.sequences["items"].list.len().sum()
    in_order = prepared.sequences["times"].list.eval(pl.element().diff().min() >= 0)
    assert in_order.explode().all()


TEMPORAL = {**KNOBS, "split": "temporal", "temporal": {"validation": 0.2, "test": 0.2}}


def test_a_temporal_split_has_no_later_interaction_in_training(films, tmp_path):
    prepared, _ = build(tmp_path / "a", films, **TEMPORAL)
    one_out = build(tmp_path / "b", films, **KNOBS)[0]
    # films are met at times 0 to 7, six users each: of 48, the 30th is at 4 and the 39th at 6
    assert prepared.sequences["times"].to_list() == [[0, 1, 2, 3]] * 6
    met = one_out.sequences.join(one_out.samples("test"), on="user_id")
    whole = pl.concat_list("items", pl.col("history").list.last(), "target")
    for split, at in (("train", 3), ("validation", 4), ("test", 6)):
        target = met.select("user_id", whole.list.get(at).alias("target"))
        assert prepared.samples(split).select("user_id", "target").equals(target)


def test_data_that_know_an_order_and_no_times_are_not_split_by_time(rows_of_files):
    with pytest.raises(Refusal, match=r"prepare\.split=temporal: dataset=reference tells") as told:
        config("stage=prepare", "dataset=reference", rows_of_files, "prepare.split=temporal")
    assert "prepare.split=leave_one_out" in told.value.do


@pytest.fixture
def rows_of_files(tmp_path):
    (tmp_path / "x_titles.csv").write_text("".join(f"{item},T{item}\n" for item in range(40)))
    for part in ("train", "test"):
        (tmp_path / f"{part}.tsv").write_text("u\t1 2 3 4\n")
    return f"dataset.path={tmp_path}"


def test_an_order_is_not_written_as_times(films, tmp_path):
    class Ordered(type(films)):
        @property
        def has_times(self):
            return False

    prepared, _ = build(tmp_path / "a", Ordered(**films.model_dump()), **KNOBS)
    assert prepared.sequences.schema == SEQUENCES
    audit = json.loads((tmp_path / "a" / "stats.json").read_text())["audit"]
    assert "trained_after_first_test_target" not in audit


def test_what_the_published_rule_does_is_counted_and_said(films, tmp_path, caplog):
    caplog.set_level("INFO")
    for exclude, least in (("own", 0), ("history", 1)):
        build(tmp_path / exclude, films, **KNOBS, exclude=exclude, history_length=2)
        audit = json.loads((tmp_path / exclude / "stats.json").read_text())["audit"]
        assert (audit["own_items_as_negatives"] > 0) == least
    assert "samples with an item of the user's own among the negatives" in caplog.text
    assert "targets in their own history (must be 0)" in caplog.text


def test_training_over_the_catalogue_draws_nothing_for_training(films, tmp_path, caplog):
    """Nothing else changes, and no list means no list: its users may own all but one item."""
    listed = build(tmp_path / "listed", films, **KNOBS)[0]
    whole = build(tmp_path / "whole", films, **KNOBS | {"train_protocol": "full"})[0]
    train = whole.samples("train")
    assert train["train"].list.len().to_list() == [0] * len(train)
    assert train.drop("train").equals(listed.samples("train").drop("train"))
    assert whole.samples("test").equals(listed.samples("test"))
    audits = [json.loads((one.folder / "stats.json").read_text()) for one in (listed, whole)]
    assert audits[0]["audit"] == audits[1]["audit"]
    assert audits[0]["candidates"].keys() == audits[1]["candidates"].keys()


def test_what_training_over_the_catalogue_cannot_be():
    with pytest.raises(Refusal, match="adopted samples list the candidates") as said:
        config(
            *("stage=prepare", "dataset=reference", "dataset.path=x", "dataset.windows=last"),
            *("prepare.adopt=x", "prepare.train_protocol=full"),
        )
    assert "prepare.adopt=null" in said.value.do
    with pytest.raises((ValidationError, Refusal), match=r"prepare\.train_protocol"):
        config("stage=prepare", "prepare.protocols=[full]")
    made = config("stage=sft", "prepare.train_protocol=full", "cot_prob=0.1")
    rationales = made.stages["assess"].inputs(made)["components"]
    with pytest.raises(Refusal, match=r"cot_prob=0\.1: how a rationale serves") as said:
        rationales.ready(made)
    assert "cot_prob=0" in said.value.do
    config("stage=grpo", "prepare.protocols=[uni9]", "grpo.probe.protocol=full")
    with pytest.raises(Refusal, match="no candidates are drawn for uni5"):
        config("stage=grpo", "grpo.probe.protocol=uni5")


HARD = {"protocols": ["hard5", "pop5"], "train_protocol": "hard5", "min_history": 2}


def test_stored_tables_keep_candidates_when_users_are_added(films, tmp_path):
    """With weights and ranked lists from outside, a new user moves nobody else's candidates."""
    first = build(tmp_path / "first", films, **KNOBS)[0]
    test = first.samples("test")
    listed = test.select("sample_id", pl.lit(first.items["item_id"].to_list()).alias("ranked"))
    new = pl.DataFrame({"sample_id": ["new:6"], "ranked": [first.items["item_id"].to_list()]})
    pl.concat([listed, new]).write_parquet(tmp_path / "full.parquet")
    stored = {"weights": first.folder / "popularity.parquet", "hard": tmp_path / "full.parquet"}
    before = build(tmp_path / "a", films, **HARD, **stored)[0]
    with (tmp_path / "ratings.dat").open("a") as file:
        file.writelines(f"new::{int(item):02d}::5::9\n" for item in first.items["item_id"][:7])
    after = build(tmp_path / "b", films, **HARD, **stored)[0]
    free = build(tmp_path / "c", films, **HARD)[0]
    for split in ("train", "validation", "test"):
        told = after.samples(split).filter(pl.col("user_id") != "new")
        assert told.equals(before.samples(split))
        told = free.samples(split).filter(pl.col("user_id") != "new")
        assert not told.equals(before.samples(split))


def test_stored_tables_enter_the_identity_where_they_are_used(tmp_path):
    words = ("stage=prepare", "dataset=toy")
    tables = []
    for name, weight in (("a", 1), ("b", 1), ("c", 2)):
        file = tmp_path / f"{name}.parquet"
        pl.DataFrame({"item_id": ["0"], "weight": [weight]}).write_parquet(file)
        tables.append(ids(*words, f"prepare.weights={file}")["prepare"])
    assert tables[0] == tables[1] != tables[2]
    none = "prepare.protocols=[uni9]"
    given = f"prepare.weights={tmp_path / 'a.parquet'}"
    assert ids(*words, none, given) == ids(*words, none) == ids(*words, none, "prepare.hard_pool=9")
    hard = "prepare.protocols=[hard5]"
    made = [ids(*words, hard, *more)["prepare"] for more in ((), ("prepare.hard_pool=9",))]
    made += [ids(*words, hard, f"prepare.hard={tmp_path / 'a.parquet'}")["prepare"]]
    assert len({*made}) == 3
    with pytest.raises(Refusal, match=r"prepare\.weights=no\.parquet: no such file"):
        ids(*words, "prepare.weights=no.parquet")


@pytest.mark.slow
def test_threads_change_no_byte(tmp_path):
    words = ("stage=prepare", "dataset=toy", "dataset.poster_size=16", "tracking=off")
    words += ("prepare.protocols=[uni9,uni99,pop9,hard9]", "dataset.windows=sliding")
    hashes = []
    for threads in ("1", "2"):
        more = dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS"), threads)
        (tmp_path / threads).mkdir()
        done = launch(*words, cwd=tmp_path / threads, **more)
        assert done.returncode == 0, done.stderr
        (made,) = (tmp_path / threads).glob("artifacts/toy/prepare/*/manifest.json")
        hashes.append(json.loads(made.read_text())["files"])
    assert hashes[0] == hashes[1] and len(hashes[0]) > 7
