"""Drafts rewritten: one rationale a draft, shown the target only where the reasoner was."""

import polars as pl
import pytest

from mllmrec.asking import Reply
from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from mllmrec.refiner.base import Refiner
from mllmrec.stage.base import Job
from mllmrec.stage.pseudo_cot import write
from mllmrec.stage.refine import Refine, last_word
from tests.launching import SMALL, config, ids
from tests.stage.test_prepare import build, dataset
from tests.stage.test_pseudo_cot import Spy

KNOBS = {"adopt": None, "min_join": 0.5, "max_failed": 0.5}
PLAIN = ("stage=sft", "cot_prob=0.1", "prompt.captions=false", *SMALL)
URL = ("refiner=endpoint", "refiner.endpoint.url=http://h:1/v1", "refiner.endpoint.model=m")


class Rewriter(Refiner):
    shown: list

    def write(self, cases, drafts, words, journal):
        self.shown.append((cases, drafts))
        first, *others = cases
        rest = [Reply(id=one.sample_id, text=drafts[one.sample_id].upper()) for one in others]
        return [Reply(id=first.sample_id, why="silent"), *rest]


@pytest.fixture
def job(tmp_path):
    small = dataset("toy", users=60, items=120, poster_size=16)
    prepared, _ = build(tmp_path / "prepare", small, protocols=["uni9"])

    def at_work(reveal=False):
        for name in ("drafts", "out"):
            (tmp_path / name).mkdir(exist_ok=True)
        samples = prepared.samples("train")["sample_id"].to_list()[:6]
        write({id: f"draft {id}" for id in samples}, samples, "Spy", tmp_path / "drafts")
        groups = {
            "reasoner": Spy(reveal_target=reveal, shown=[]),
            "refiner": Rewriter(shown=[]),
            "words": small.words,
        }
        inputs = {"prepare": tmp_path / "prepare", "drafts": tmp_path / "drafts"}
        return Job(out=tmp_path / "out", inputs=inputs, groups=groups, seed=0)

    return at_work


def test_one_rationale_a_draft_and_none_where_it_failed(job):
    at_work = job()
    metrics = Refine(**KNOBS).run(at_work)
    ids = Prepared(at_work.inputs["prepare"]).samples("train")["sample_id"].to_list()[:6]
    table = pl.read_parquet(at_work.out / "rationales.parquet")
    assert table["text"].to_list() == [f"DRAFT {id.upper()}" for id in ids[1:]]
    assert table["writer"].unique().to_list() == ["Rewriter"]
    assert pl.read_parquet(at_work.out / "failures.parquet").rows() == [(ids[0], "silent")]
    assert metrics["rationales"] == 5 and metrics["failed"] == 1
    with pytest.raises(Refusal, match="refine: 1 of 6 have no rationale"):
        Refine(**KNOBS | {"max_failed": 0.1}).run(job())


@pytest.mark.parametrize("reveal", [False, True])
def test_the_refiner_is_shown_the_target_only_where_the_reasoner_was(job, reveal):
    at_work = job(reveal)
    Refine(**KNOBS).run(at_work)
    ((cases, drafts),) = at_work.groups["refiner"].shown
    assert len(cases) == len(drafts) == 6
    assert all((case.target is not None) == reveal for case in cases)


def test_refining_changes_no_draft_and_another_draft_is_another_rationale():
    plain, refined = ids(*PLAIN), ids(*PLAIN, *URL)
    assert "refine" not in plain and refined["pseudo_cot"] == plain["pseudo_cot"]
    assert refined["refine"] != ids(*PLAIN, *URL, "reasoner.recent=5")["refine"]
    made = config(*PLAIN, *URL)
    assert last_word(made) is made.stages["refine"]


def test_of_the_reasoner_only_whether_it_told_counts_beside_the_drafts():
    """Adopted drafts are what they are, whatever reasoner is configured."""
    told = config(*PLAIN, *URL).stages["refine"].effective(config(*PLAIN, *URL))
    assert told["groups"]["reasoner"] == {"reveal_target": False}


def test_nothing_to_refine_by_is_refused():
    with pytest.raises(Refusal, match="refiner=none rewrites nothing") as refusal:
        ids("stage=refine", *SMALL)
    assert "refiner=endpoint" in refusal.value.do and "refine.adopt" in refusal.value.allowed
