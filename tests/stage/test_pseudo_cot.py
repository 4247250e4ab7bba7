"""A rationale for every training sample, by a writer that sees histories and nothing else."""

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.reasoner.template import Template
from mllmrec.records import Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.pseudo_cot import PseudoCot
from tests.launching import SMALL, make


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(Store(root=tmp_path_factory.mktemp("store")), "stage=pseudo_cot", *SMALL)


def test_every_training_sample_has_one(made):
    table = pl.read_parquet(made["pseudo_cot"].folder / "rationales.parquet")
    samples = Prepared(made["prepare"].folder).samples("train")
    assert table["sample_id"].to_list() == samples["sample_id"].to_list()
    assert table["text"].str.len_chars().min() > 10
    metrics = made["pseudo_cot"].manifest["metrics"]
    assert metrics["rationales"] == len(samples)
    words = [len(text.split()) for text in table["text"]]
    assert metrics["mean_words"] == pytest.approx(sum(words) / len(words))


def test_no_target_and_no_candidates_reach_the_writer(made, tmp_path):
    seen = []

    class Spy(Template):
        def write(self, histories, items):
            seen.append(histories.columns)
            return super().write(histories, items)

    job = Job(
        out=tmp_path,
        inputs={"prepare": made["prepare"].folder},
        groups={"reasoner": Spy(recent=3)},
        seed=0,
    )
    PseudoCot().run(job)
    assert seen == [["sample_id", "history"]]
