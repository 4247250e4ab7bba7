"""The drafts of rationales, by a writer that sees histories and nothing else."""

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.asking import Reply
from mllmrec.errors import Refusal
from mllmrec.reasoner.base import Reasoner
from mllmrec.records import Prepared
from mllmrec.stage.base import Job
from mllmrec.stage.pseudo_cot import PseudoCot
from tests.launching import SMALL, config, make

PLAIN = ("stage=pseudo_cot", "prompt.captions=false", *SMALL)
KNOBS = {"adopt": None, "min_join": 0.5, "samples": None, "max_failed": 0.05}


class Spy(Reasoner):
    """Writes one line a case, and keeps what it was shown; fails those whose id it is told."""

    shown: list
    failing: tuple[str, ...] = ()

    def write(self, cases, words, journal):
        self.shown.append((cases, words, journal))
        return [
            Reply(id=case.sample_id, why="too dull")
            if case.sample_id in self.failing
            else Reply(id=case.sample_id, text=f"for {case.sample_id}")
            for case in cases
        ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(Store(root=tmp_path_factory.mktemp("store")), *PLAIN)


@pytest.fixture
def job(made, tmp_path):
    def build(**over):
        groups = {
            "reasoner": Spy(**{"reveal_target": False, "shown": [], **over}),
            "words": config(*PLAIN).groups["words"],
        }
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        return Job(out=out, inputs={"prepare": made["prepare"].folder}, groups=groups, seed=0)

    return build


def shown(job):
    """The cases that the writer was handed, without what Model's freezing made of the list."""
    ((cases, _, _),) = job.groups["reasoner"].shown
    return cases


def test_every_training_sample_has_one(made):
    table = pl.read_parquet(made["pseudo_cot"].folder / "rationales.parquet")
    samples = Prepared(made["prepare"].folder).samples("train")
    assert table["sample_id"].to_list() == samples["sample_id"].to_list()
    assert table["text"].str.len_chars().min() > 10
    metrics = made["pseudo_cot"].manifest["metrics"]
    assert metrics["rationales"] == len(samples) and metrics["failed"] == 0
    words = [len(text.split()) for text in table["text"]]
    assert metrics["mean_words"] == pytest.approx(sum(words) / len(words))


def test_no_target_and_no_candidates_reach_the_writer(made, job):
    at_work = job()
    PseudoCot(**KNOBS).run(at_work)
    samples = Prepared(made["prepare"].folder).samples("train")
    for case, row in zip(shown(at_work), samples.iter_rows(named=True), strict=True):
        assert case.target is None
        assert [item.item_id for item in case.history] == row["history"]
        assert row["target"] not in row["history"]
        assert vars(case).keys() == {"sample_id", "history", "target"}


def test_the_published_leak_is_a_knob_and_is_told(made, job, caplog):
    at_work = job(reveal_target=True)
    PseudoCot(**KNOBS).run(at_work)
    samples = Prepared(made["prepare"].folder).samples("train")
    assert [case.target.item_id for case in shown(at_work)] == samples["target"].to_list()
    assert "LEAK: reasoner.reveal_target=true" in caplog.text


def test_a_bound_asks_first_for_those_that_a_share_of_rationales_goes_to(made, job):
    from mllmrec.training.rationales import choose

    ids = Prepared(made["prepare"].folder).samples("train")["sample_id"].to_list()
    at_work = job()
    PseudoCot(**KNOBS | {"samples": 10}).run(at_work)
    asked = [case.sample_id for case in shown(at_work)]
    every = dict.fromkeys(ids, "x")
    assert set(asked) == set(choose(ids, every, 10 / len(ids), 0, "sft"))
    assert asked == [id for id in ids if id in asked]
    assert pl.read_parquet(at_work.out / "rationales.parquet")["sample_id"].to_list() == asked


def test_a_failure_is_no_text_and_too_many_stop_the_run(made, job):
    ids = Prepared(made["prepare"].folder).samples("train")["sample_id"].to_list()
    at_work = job(failing=(ids[1],))
    assert PseudoCot(**KNOBS).run(at_work)["failed"] == 1
    table = pl.read_parquet(at_work.out / "rationales.parquet")
    assert table["sample_id"].to_list() == [ids[0], *ids[2:]] and "" not in table["text"]
    assert pl.read_parquet(at_work.out / "failures.parquet").rows() == [(ids[1], "too dull")]
    with pytest.raises(Refusal, match=r"pseudo_cot: 1 of \d+ have no rationale.*too dull"):
        PseudoCot(**KNOBS | {"max_failed": 0.0}).run(job(failing=(ids[1],)))


def test_a_few_texts_and_all_failures_are_shown(made, job, capsys):
    ids = Prepared(made["prepare"].folder).samples("train")["sample_id"].to_list()
    at_work = job(failing=(ids[1],))
    stage = PseudoCot(**KNOBS)
    stage.run(at_work)
    stage.show(at_work.out)
    said = capsys.readouterr().out
    assert f"for {ids[0]}" in said and f"no text for {ids[1]}: too dull" in said
    assert f"{len(ids) - 1} texts, 1 failures" in said
