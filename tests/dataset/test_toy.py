import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from scipy.stats import chi2_contingency

from mllmrec.dataset.process import KINDS
from mllmrec.dataset.titles import GENRES


@pytest.fixture
def toy(dataset):
    return dataset("toy", users=300, items=200, poster_size=16)


def test_all_comes_again_from_the_same_knobs_and_moves_with_the_seed(dataset, toy, tmp_path, met):
    one, two = toy.load(tmp_path / "a"), toy.load(tmp_path / "b")
    assert one.items.equals(two.items) and met(one).equals(met(two))
    other = dataset("toy", users=300, items=200, poster_size=16, seed=1).load(tmp_path / "c")
    assert not met(one).equals(met(other))


def test_records(toy, tmp_path, met):
    tables = toy.load(tmp_path)
    assert tables.items["title"].n_unique() == tables.items["item_id"].n_unique() == 200
    assert all((tmp_path / name).is_file() for name in tables.items["picture"])
    lengths = met(tables)["user_id"].value_counts()["count"]
    assert lengths.min() >= 8 and lengths.max() <= 16
    later = met(tables).with_columns(pl.col("timestamp").diff().over("user_id"))
    assert later["timestamp"].drop_nulls().min() > 0


def test_title_words_say_nothing_of_the_style(dataset, tmp_path):
    toy = dataset("toy", items=3000)
    process = toy.process(np.random.default_rng(0))
    table = np.zeros((KINDS, KINDS))
    np.add.at(table, (process.genre, process.style), 1)
    assert chi2_contingency(table).pvalue > 1e-3


def test_titles_tell_the_genre_of_the_process(toy, tmp_path):
    tables = toy.load(tmp_path)
    told = [GENRES[genre] for genre in tables.oracle.process.genre]
    assert tables.items["genres"].list.get(0).to_list() == told


def test_some_items_are_rare(dataset, tmp_path, met):
    seen = met(dataset("toy", poster_size=16).load(tmp_path))["item_id"].value_counts()
    assert seen["count"].quantile(0.04) < 15 < 60 < seen["count"].median()


def test_lengths_must_fit(dataset):
    with pytest.raises(ValidationError, match=r"dataset\.shortest <= dataset\.longest"):
        dataset("toy", shortest=9, longest=8)
