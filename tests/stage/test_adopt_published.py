"""Captions, rationales and samples of the published scripts, taken instead of being made."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.records import FAILURES, RATIONALES, Prepared
from mllmrec.stage import adopt
from mllmrec.stage.base import Job
from mllmrec.stage.caption import Caption
from mllmrec.stage.consistency import COMPONENTS
from mllmrec.stage.prepare import Prepare
from mllmrec.stage.pseudo_cot import PseudoCot
from mllmrec.stage.refine import Refine, last_word
from tests.launching import CONF, SMALL, config, ids, steps
from tests.stage.test_prepare import build, dataset
from tests.stage.test_pseudo_cot import Spy
from tests.stage.test_refine import Rewriter

COT = ("stage=sft", "cot_prob=0.1", "prompt.captions=false", *SMALL)


def stage(kind, **over):
    told = yaml.safe_load((CONF / "stage" / f"{kind.name}.yaml").read_text(encoding="utf-8"))
    values = dict(told[kind.name])
    del values["_target_"]
    return kind(**values | over)


def run(made, prepared, out):
    out.mkdir()
    return made.run(Job(out=out, inputs={"prepare": prepared.folder}, groups={}, seed=0))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    small = dataset("toy", users=60, items=120, poster_size=16)
    return build(tmp_path_factory.mktemp("toy"), small, protocols=["uni9"])[0]


@pytest.fixture
def traces(prepared, tmp_path):
    """A rationale for every training sample but the first, which has an empty one."""
    rows = prepared.samples("train").select("user_id", "target").iter_rows()
    told = [
        {"line_idx": n + 5, "user_id": user, "target_item": {"item_id": item}, "reasoning": f"R{n}"}
        for n, (user, item) in enumerate(rows)
    ]
    told[0] |= {"reasoning": "", "error": "Timeout()"}
    file = tmp_path / "toy_deepseek_cot.json"
    file.write_text(json.dumps(told[::-1]))
    return file


@pytest.mark.parametrize("kind", [PseudoCot, Refine])
def test_rationales_become_the_table_and_failures_are_kept_apart(kind, prepared, traces, tmp_path):
    metrics = run(stage(kind, adopt=traces), prepared, tmp_path / "out")
    table = pl.read_parquet(tmp_path / "out" / "rationales.parquet")
    samples = prepared.samples("train")["sample_id"].to_list()
    assert table["sample_id"].to_list() == samples[1:]
    assert table["text"].to_list() == [f"R{n}" for n in range(1, len(samples))]
    assert table["writer"].unique().to_list() == ["adopted"]
    failures = pl.read_parquet(tmp_path / "out" / "failures.parquet")
    assert failures.schema == FAILURES
    assert failures.rows() == [(samples[0], "the file says Timeout()")]
    assert metrics["rationales"] == len(samples) - 1 and metrics["failed"] == 1
    assert metrics["held"] == 0 and pl.read_parquet(tmp_path / "out" / "held.parquet").is_empty()


def trace(id, prepared, text, split="train"):
    """The entry of a sample in a file of theirs."""
    user, target = prepared.samples(split).filter(sample_id=id).select("user_id", "target").row(0)
    return {"user_id": user, "target_item": {"item_id": target}, "reasoning": text}


@pytest.fixture
def both(prepared, tmp_path):
    """Rationales of the first two training samples and of the first two that are held."""
    ids = {s: prepared.samples(s)["sample_id"].to_list()[:2] for s in ("train", "validation")}
    told = [trace(id, prepared, f"{s} {id}", s) for s, some in ids.items() for id in some]
    file = tmp_path / "both.json"
    file.write_text(json.dumps(told))
    return file, ids


def read_held(folder):
    """The texts by sample, of both tables."""
    tables = [pl.read_parquet(folder / f"{name}.parquet") for name in ("rationales", "held")]
    assert [table.schema for table in tables] == [RATIONALES] * 2
    return [dict(zip(t["sample_id"], t["text"], strict=True)) for t in tables]


@pytest.mark.parametrize("kind", [PseudoCot, Refine])
def test_rationales_of_validation_samples_are_kept_apart(kind, prepared, both, tmp_path):
    file, ids = both
    metrics = run(stage(kind, adopt=file), prepared, tmp_path / "out")
    wanted = [{id: f"{split} {id}" for id in some} for split, some in ids.items()]
    assert read_held(tmp_path / "out") == wanted
    assert (metrics["rationales"], metrics["held"], metrics["failed"]) == (2, 2, 0)


def test_held_drafts_are_refined_as_the_others_are(prepared, both, tmp_path):
    file, ids = both
    run(stage(PseudoCot, adopt=file), prepared, tmp_path / "drafts")
    groups = {
        "reasoner": Spy(reveal_target=False, shown=[]),
        "refiner": Rewriter(shown=[]),
        "words": dataset("toy").words,
    }
    inputs = {"prepare": prepared.folder, "drafts": tmp_path / "drafts"}
    (tmp_path / "out").mkdir()
    at_work = Job(out=tmp_path / "out", inputs=inputs, groups=groups, seed=0)
    metrics = stage(Refine, max_failed=1.0).run(at_work)
    _, *others = [f"{split} {id}" for split, some in ids.items() for id in some]
    told, held = read_held(tmp_path / "out")
    assert [*told.values(), *held.values()] == [text.upper() for text in others]
    assert {*held} == {*ids["validation"]} and (metrics["rationales"], metrics["held"]) == (1, 2)


def test_adopted_texts_that_name_their_target_are_told_and_stopped(prepared, tmp_path, caplog):
    """By the one definition of a leak that there is, the gate's."""
    caplog.set_level(logging.INFO)
    rows = prepared.samples("train").head(4)
    texts = [f"So what comes next is {prepared.titles[t].lower()}!" for t in rows["target"]]
    texts[1] = "What they like."
    told = [trace(id, prepared, text) for id, text in zip(rows["sample_id"], texts, strict=True)]
    file = tmp_path / "leaks.json"
    file.write_text(json.dumps(told))
    run(stage(Refine, adopt=file), prepared, tmp_path / "refine")
    made = pl.read_parquet(tmp_path / "refine" / "rationales.parquet").drop("writer")
    for name in ("components", "out"):
        (tmp_path / name).mkdir()
    made = made.with_columns(modality=0.5, prediction=0.5)
    made.write_parquet(tmp_path / "components" / COMPONENTS)
    goal = config("stage=assess", *SMALL, "assess.keep=threshold", "assess.threshold=0").goal
    inputs = {"prepare": prepared.folder, "components": tmp_path / "components"}
    metrics = goal.run(Job(out=tmp_path / "out", inputs=inputs, groups={}, seed=0))
    assert metrics["share_leaking"] == metrics["share_stopped_by_gate"] == 0.75
    assert "1 of 4 rationales are kept, 3 name the target" in caplog.text


def test_too_many_empty_texts_stop_the_run(prepared, traces, tmp_path):
    made = stage(Refine, adopt=traces, max_failed=0.0)
    with pytest.raises(Refusal, match=r"refine: 1 of \d+ have no rationale"):
        run(made, prepared, tmp_path / "out")


def test_captions_become_the_table_for_items_without_pictures_too(prepared, tmp_path):
    first, second = prepared.items["item_id"].to_list()[:2]
    bare = tmp_path / "bare"
    bare.mkdir()
    items = prepared.items.with_columns(picture=pl.lit(None, pl.String))
    items.write_parquet(bare / "items.parquet")
    file = tmp_path / "toy_captions.json"
    file.write_text(json.dumps({second: {"caption": "Two."}, first: "One."}))
    for name, known in (("with", prepared), ("without", Prepared(bare))):
        metrics = run(stage(Caption, adopt=file), known, tmp_path / name)
        table = pl.read_parquet(tmp_path / name / "captions.parquet")
        assert table["item_id"].to_list() == [first, second]
        assert table["text"].to_list() == ["One.", "Two."]
        assert table["picture_sha256"].is_null().all() == (name == "without")
        assert metrics["captions"] == 2


@pytest.mark.parametrize("kind", [Caption, PseudoCot, Refine])
def test_the_identity_is_the_content_alone(kind, traces, tmp_path):
    made = stage(kind, adopt=traces, min_join=0.1, max_failed=1.0)
    before = made.effective(config())
    assert before["adopted"] == adopt.file_identity(traces, kind.name)["adopted"]
    assert {*before} <= {"adopted", "tables"}
    moved = traces.rename(tmp_path / "other.json")
    assert stage(kind, adopt=moved).effective(config()) == before
    moved.write_text("[]")
    assert stage(kind, adopt=moved).effective(config()) != before


@pytest.mark.parametrize("kind", [Caption, PseudoCot, Refine])
def test_a_file_that_is_not_there_is_refused(kind, tmp_path):
    (tmp_path / "empty.json").write_text("")
    for name in ("gone.json", "empty.json"):
        with pytest.raises(Refusal, match=rf"{kind.name}\.adopt=.*{name}") as refusal:
            stage(kind, adopt=tmp_path / name).effective(config())
        assert f"{kind.name}.adopt=FILE" in refusal.value.do


def test_a_file_that_changes_after_the_plan_is_refused(prepared, traces, tmp_path):
    made = stage(Refine, adopt=traces)
    made.effective(config())
    traces.write_text(traces.read_text().replace("R1", "Q1"))
    with pytest.raises(Refusal, match="has changed while it was taken"):
        run(made, prepared, tmp_path / "out")


def test_a_large_file_is_hashed_once(traces, monkeypatch):
    os.utime(traces, (1e9, 1e9))  # long ago
    before = adopt.file_identity(traces, "refine")
    monkeypatch.setattr(adopt, "file_digest", lambda path: pytest.fail("read again"))
    assert adopt.file_identity(traces, "refine") == before


def test_adopted_drafts_need_no_reasoner_and_adopted_rationales_no_drafts(traces):
    drafts, rationales = f"pseudo_cot.adopt={traces}", f"refine.adopt={traces}"
    adopted = ids(*COT, drafts)
    assert {"prepare", "pseudo_cot"} <= set(adopted) and "caption" not in adopted
    assert ids(*COT, drafts, "reasoner.recent=5") == adopted
    assert ids(*COT, "reasoner.recent=5")["pseudo_cot"] != ids(*COT)["pseudo_cot"]
    refined = ids(*COT, rationales, "refiner=none")
    assert "refine" in refined and not {"pseudo_cot", "caption"} & set(refined)
    assert ids(*COT, rationales, "reasoner.recent=5") == refined
    made = config(*COT, rationales)
    assert last_word(made) is made.stages["refine"]
    made = config(*COT)
    assert last_word(made) is made.stages["pseudo_cot"]


def test_what_is_adopted_stands_on_the_records(traces, tmp_path):
    for knob in ("pseudo_cot", "refine", "caption"):
        words = (f"stage={knob}", f"{knob}.adopt={traces}", *SMALL)
        planned = steps(Store(root=tmp_path / "store"), *words)
        assert [step.label for step in planned] == ["prepare", knob]
        assert planned[-1].inputs == {"prepare": planned[0].id}


@pytest.fixture
def published(tmp_path):
    """A small folder of theirs: .tsv files, titles, and processed/ in both of its shapes."""
    titles = {f"{item:03d}": f"T{item}" for item in range(60)}
    rng = np.random.default_rng(0)
    lines = {f"u{user}": [f"{i:03d}" for i in rng.permutation(50)[:12]] for user in range(40)}
    folder = tmp_path / "published"
    (folder / "processed").mkdir(parents=True)
    text = "".join(f"{item},{title}\n" for item, title in titles.items())
    (folder / "x_titles.csv").write_text(f"item,title\n{text}")
    for split, end in (("train", 11), ("test", 12)):
        rows = [f"{user}\t{' '.join(items[:end])}\n" for user, items in lines.items()]
        (folder / f"{split}.tsv").write_text("".join(rows))
        entries = []
        for items in lines.values():
            history, target = items[end - 10 : end - 1], items[end - 1]
            others = [item for item in titles if item not in {*history, target}]
            candidates = [target, *rng.permutation(others)[:9].tolist()]
            candidates = rng.permutation(candidates).tolist()
            prompt = ["You are …", *(f"{n}. [ITEM_{i}] T" for n, i in enumerate(history, 1)), ""]
            prompt += ["Candidate movies:", *(f"[ITEM_{i}] T" for i in candidates), "", "Now …"]
            told = {"prompt": "\n".join(prompt), "target_id": target, "candidates": candidates}
            if split == "train":
                texts = ["\n".join(prompt), f"[ITEM_{target}] T"]
                told = {"messages": [{"content": text} for text in texts]}
            entries.append(told)
        name = f"{split}_generate_seed42_neg9_cot_0.0.json"
        (folder / "processed" / name).write_text(json.dumps(entries))
    return folder


KNOBS = {"protocols": ["uni9", "uni5"], "history_length": 9}


def test_samples_hold_exactly_the_published_candidates_in_their_order(published, tmp_path, caplog):
    data = dataset("reference", path=str(published))
    found = {}
    for adopted in (None, published / "processed", [*(published / "processed").iterdir()]):
        name = f"out{len(found)}"
        found[name] = build(tmp_path / name, data, adopt=adopted, **KNOBS)[0]
    ours, theirs, listed = found.values()
    test = json.loads(
        (published / "processed" / "test_generate_seed42_neg9_cot_0.0.json").read_text()
    )
    assert theirs.samples("test")["uni9"].to_list() == [one["candidates"] for one in test]
    assert theirs.samples("test")["target"].to_list() == [one["target_id"] for one in test]
    assert not theirs.samples("test")["uni9"].equals(ours.samples("test")["uni9"])
    assert theirs.samples("test")["uni5"].equals(ours.samples("test")["uni5"])
    assert theirs.samples("validation").equals(ours.samples("validation"))
    assert ours.samples("train").height == theirs.samples("train").height < 40
    train = json.loads(
        (published / "processed" / "train_generate_seed42_neg9_cot_0.0.json").read_text()
    )
    told = {one["messages"][0]["content"] for one in train}
    for row in theirs.samples("train").iter_rows(named=True):
        lines = "\n".join(f"[ITEM_{item}] T" for item in row["train"])
        assert sum(lines in text for text in told) == 1
    assert listed.samples("train").equals(theirs.samples("train"))
    candidates = theirs.samples("test")["uni9"].explode()
    assert candidates.is_in(theirs.items["item_id"].implode()).all()
    assert theirs.items.height > ours.items.height  # items that only their negatives name
    stats = json.loads((theirs.folder / "stats.json").read_text())
    assert stats["dropped"]["test/uni9_with_own_items_as_negatives"] > 0
    assert "test/uni9_with_own_items_as_negatives" in caplog.text
    assert stats["audit"]["target_not_among_candidates"] == 0


def test_adopted_samples_are_in_the_identity_by_content(published, tmp_path):
    words = ("stage=prepare", "dataset=reference", f"dataset.path={published}")
    words += ("prepare.history_length=9", "prepare.protocols=[uni9]")
    processed = published / "processed"
    plain, adopted = ids(*words), ids(*words, f"prepare.adopt={processed}")
    assert plain != adopted
    moved = processed.rename(tmp_path / "elsewhere")
    assert ids(*words, f"prepare.adopt={moved}") == adopted
    assert ids(*words, f"prepare.adopt={moved}", "prepare.min_join=0.9") == adopted
    file = moved / "test_generate_seed42_neg9_cot_0.0.json"
    file.write_text(file.read_text() + "\n")
    assert ids(*words, f"prepare.adopt={moved}") != adopted


@pytest.mark.parametrize(
    "words", [("dataset=toy",), ("dataset=reference", "dataset.windows=sliding")]
)
def test_samples_are_adopted_for_their_own_layout_alone(words, tmp_path):
    place = [f"dataset.path={tmp_path}"] * (words[0] == "dataset=reference")
    with pytest.raises(Refusal, match=r"prepare\.adopt: samples of the published") as refusal:
        config("stage=prepare", *words, *place, "prepare.adopt=processed")
    assert "dataset=reference" in refusal.value.do


def test_the_paths_of_a_user_are_found(traces, monkeypatch):
    monkeypatch.setenv("HOME", str(traces.parent))
    short = Path("~") / traces.name
    assert adopt.file_identity(short, "refine") == adopt.file_identity(traces, "refine")
    assert adopt.read(short, lambda file: file) == traces


def test_prepare_without_adoption_is_what_it_was():
    assert stage(Prepare).effective(config())["knobs"].keys() == {
        *("kind", "history_length", "min_history", "protocols", "train_protocol"),
        *("split", "exclude"),
    }
