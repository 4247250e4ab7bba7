from importlib import import_module
from pathlib import Path

import polars as pl
import pytest
import yaml

CONF = Path(__file__).parents[2] / "conf" / "dataset"


@pytest.fixture
def dataset():
    """Builds a dataset from its YAML, with other values where they are given."""

    def build(name, /, **over):
        values = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
        module, kind = values.pop("_target_").rsplit(".", 1)
        return getattr(import_module(module), kind)(**values | over)

    return build


@pytest.fixture
def met():
    """All interactions of tables in one frame."""
    return lambda tables: pl.concat(tables.interactions)


@pytest.fixture
def films(tmp_path):
    """A small folder in the format of MovieTweetings: 3 films, 2 users, times out of order."""
    (tmp_path / "movies.dat").write_text(
        "001::Alien (1979)::Horror|Sci-Fi\n002::Amélie (2001)::\n003::Se7en :: cut (1995)::Crime\n",
        encoding="utf-8",
    )
    (tmp_path / "ratings.dat").write_text(
        "1::002::8::20\n1::001::7::10\n2::003::9::30\n1::003::5::40\n", encoding="utf-8"
    )
    return tmp_path


@pytest.fixture
def rows(tmp_path):
    """A small folder in the published layout, with titles that are easily mistaken."""
    (tmp_path / "tiny_titles.csv").write_text(
        'item,title\n007,NA\n7,null\n08,nan\n9,"Me, ""You"""\n10,So, what\n11,12" Pizza\n',
        encoding="utf-8",
    )
    (tmp_path / "train.tsv").write_text("01\t007 7 08\n1\t9 10 11\n2\t7 9 007\n", encoding="utf-8")
    (tmp_path / "test.tsv").write_text("01\t007 7 08 9\n", encoding="utf-8")
    return tmp_path
