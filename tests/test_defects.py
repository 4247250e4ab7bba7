"""Faults of the published scripts that no one module can rule out (docs/published.md)."""

import ast
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image

from mllmrec.artifacts import Store
from mllmrec.assessment.confidence import confidence, kept
from mllmrec.assessment.leakage import Gate
from mllmrec.cases import cases_of
from mllmrec.records import Prepared
from mllmrec.rendering import render_all
from tests.launching import CONF, ROOT, SMALL, config, ids, make, steps
from tests.stage.test_prepare import build, dataset

HINTED = ("stage=evaluate", "cot_prob=0.5", *SMALL)


def inputs(*words):
    """What each step of a plan stands on: the names it knows its inputs by, and their stages."""
    planned = steps(Store(root=Path("nowhere")), *words)
    names = {step.id: step.stage.name for step in planned}
    return {step.label: {as_: names[id] for as_, id in step.inputs.items()} for step in planned}


def test_what_ranks_the_test_never_stands_on_rationales():
    """A tenth of the published test prompts carried one."""
    for label, below in inputs(*HINTED).items():
        if label.startswith("rank "):
            assert not {"rationales", "hints"} & below.keys(), label
            assert not {"pseudo_cot", "refine", "assess", "hints"} & {*below.values()}, label


def test_what_is_trained_on_has_been_assessed():
    """The published repository has no confidence assessment, and the paper is about it."""
    for words in (
        HINTED,
        (*HINTED, f"refine.adopt={__file__}"),
        (*HINTED, f"pseudo_cot.adopt={__file__}"),
    ):
        made = inputs(*words)
        for label in ("sft", "grpo", "sft_continued"):
            assert made[label]["rationales"] == "assess", (words, label)


def test_a_rationale_that_names_its_target_is_not_learnt_from():
    gate = Gate.over(["Gladiator (2000)", "Cube (1997)", "Brazil (1985)"], 2)
    texts = ["So next is Gladiator.", "Something old and dark.", "They have had enough of cubes."]
    told = pl.DataFrame(
        {
            "sample_id": ["a", "b", "c"],
            "leak": [gate.leak(text, "7", "Gladiator (2000)", ["Brazil (1985)"]) for text in texts],
            "modality": [1.0, 0.6, 0.2],
            "prediction": [1.0, 0.6, 0.2],
        },
        schema_overrides={"leak": pl.String},
    )
    table = confidence(told, {"modality": 0.5, "prediction": 0.5}, gate=True)
    for keep, share in (("top_share", 1.0), ("threshold", 0.0)):
        found = kept(table, keep=keep, threshold=0.0, share=share, gate=True)
        assert found.filter("kept")["sample_id"].sort().to_list() == ["b", "c"]
    assert yaml.safe_load((CONF / "stage/assess.yaml").read_text())["assess"]["gate"] is True


def test_captions_reach_every_prompt_of_data_with_pictures():
    """They were commented out in the published loader."""
    made = inputs(*HINTED)
    for label in ("pseudo_cot", "sft", "grpo", "rank sft", "rank grpo"):
        assert made[label]["captions"] == "caption", label
    assert "caption" not in ids(*HINTED, "prompt.captions=false")


def test_captions_stand_behind_every_item_of_a_rendered_prompt(tmp_path):
    """What `prepare` and `caption` have left on disk, as training and ranking render it."""
    words = ("stage=caption", *SMALL)
    made, conf = make(Store(root=tmp_path), *words), config(*words)
    data = Prepared.of({"prepare": made["prepare"].folder, "captions": made["caption"].folder})
    sample = data.samples("test").head(1)
    (text,) = render_all(sample, "uni9", data, conf.prompt, conf.groups["words"])
    history, candidates = (sample[name][0].to_list() for name in ("history", "uni9"))
    lines = {item: [] for item in (*history, *candidates)}
    for line in text.splitlines():
        if found := re.match(r"(?:\d+\. )?\[ITEM_(\w+)\] ", line):
            lines[found[1]].append(line.casefold())
    assert all(lines.values()) and len(candidates) == 10
    for item, shown in lines.items():
        first = data.captions[item].casefold().split()[: conf.prompt.caption_words]
        caption = " ".join(first).rstrip(",.")
        assert caption and all(line.endswith(caption) for line in shown), (item, shown, caption)


GENERATORS = {"Random", "SystemRandom", "default_rng", "Generator", "Philox", "SeedSequence"}


def test_nothing_is_drawn_from_a_global_generator():
    """Who got a rationale hung on `random.random()`, in a class that promised reproducibility."""
    found = []
    for file in sorted((ROOT / "mllmrec").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in ("random", "numpy.random"):
                names = {alias.name for alias in node.names} - GENERATORS
                found += [f"{file.name}:{node.lineno}: {name}" for name in names]
            if isinstance(node, ast.Attribute) and node.attr not in GENERATORS:
                owner = ast.unparse(node.value)
                is_torch = owner == "torch" and node.attr in (
                    "rand",
                    "randn",
                    "randint",
                    "randperm",
                )
                if owner in ("random", "np.random", "numpy.random") or is_torch:
                    found.append(f"{file.name}:{node.lineno}: {owner}.{node.attr}")
    assert not found


@pytest.fixture
def folder(tmp_path):
    """The published layout: 40 users, 30 items, lines of 5 to 12."""
    place = tmp_path / "data"
    place.mkdir()
    (place / "x_titles.csv").write_text("".join(f"{item},T{item}\n" for item in range(30)))
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        rows = [rng.permutation(30)[: 5 + user % 8] for user in range(40)]
        lines = [f"u{user}\t{' '.join(map(str, row))}\n" for user, row in enumerate(rows)]
        (place / f"{part}.tsv").write_text("".join(lines))
    return place


KNOBS = {"protocols": ["uni5"], "train_protocol": "uni5", "history_length": 9, "min_history": 4}


def test_a_missing_picture_drops_no_sample(folder, tmp_path):
    """One missing picture, the target's even, took the published sample away."""
    data = dataset("reference", path=str(folder), min_interactions=5)
    without, _ = build(tmp_path / "a", data, **KNOBS)
    (folder / "images").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "images" / "3.png")
    some, _ = build(tmp_path / "b", data, **KNOBS)
    assert some.items["picture"].count() == 1 and without.items["picture"].count() == 0
    for split in ("train", "validation", "test"):
        assert some.samples(split).equals(without.samples(split))
    shown = cases_of(some.samples("train"), some, reveal=True)
    assert len(shown) == some.samples("train").height
    assert {item.picture is None for case in shown for item in case.history} == {True, False}


def test_a_short_history_gets_a_rationale_too(folder, tmp_path):
    """Ten items were asked for, whatever the data set: users of Netflix with fewer had none."""
    data = dataset("reference", path=str(folder), min_interactions=5)
    made, _ = build(tmp_path / "a", data, **KNOBS)
    samples = made.samples("train")
    shown = [len(case.history) for case in cases_of(samples, made, reveal=False)]
    assert len(shown) == samples.height and (min(shown), max(shown)) == (4, 9)


def test_training_may_have_as_many_candidates_as_the_test(folder, tmp_path):
    data = dataset("reference", path=str(folder), min_interactions=5)
    over = {"protocols": ["uni5", "uni9"], "train_protocol": "uni9"}
    made, _ = build(tmp_path / "a", data, **KNOBS | over)
    assert set(made.samples("train")["train"].list.len()) == {10}
    test = made.samples("test")
    assert {name: set(test[name].list.len()) for name in over["protocols"]} == {
        "uni5": {6},
        "uni9": {10},
    }


def test_a_rank_has_a_file_of_its_own_for_each_protocol(folder, tmp_path):
    """The published run over 99 negatives overwrote that over 9."""
    from mllmrec.stage.base import Job
    from mllmrec.stage.rank import Rank

    data = dataset("reference", path=str(folder), min_interactions=5)
    build(tmp_path / "a", data, **KNOBS | {"protocols": ["uni5", "uni9"]})
    (tmp_path / "out").mkdir()
    made = config("stage=evaluate", "prepare.protocols=[uni5,uni9]", "evaluate.protocols=[uni5]")
    rank = next(
        stage for stage in made.goal.inputs(made).values() if stage.label == "rank popularity"
    )
    assert isinstance(rank, Rank)
    rank = rank.model_copy(update={"protocols": ["uni5", "uni9"], "samples": {}})
    rank.run(Job(out=tmp_path / "out", inputs={"prepare": tmp_path / "a"}, groups={}, seed=0))
    sizes = [
        set(pl.read_parquet(file)["ranked"].list.len())
        for file in sorted((tmp_path / "out").rglob("*.parquet"))
    ]
    assert sizes == [{6}, {10}]


def test_popularity_stands_in_the_table_and_among_the_negatives():
    """Uniform negatives make popularity a strong shortcut, and nothing said so."""
    made = config()
    assert {"popularity", "random", "cooccurrence"} <= {*made.stages["evaluate"].policies}
    assert any(name.startswith("pop") for name in made.stages["prepare"].protocols)


@pytest.mark.parametrize("file", sorted((CONF / "algorithm").glob("*.yaml")), ids=lambda f: f.stem)
def test_rollouts_are_drawn_from_the_distribution_that_the_loss_assumes(file):
    """The published ones were drawn at temperature 0.9 from the first 0.9 of the mass."""
    told = config(f"algorithm={file.stem}").algorithm.trainer_args(vllm=False)
    whole = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": None}  # in TRL's words
    assert {name: told.get(name, value) for name, value in whole.items()} == whole
    assert told.keys() >= {"temperature", "top_p", "top_k"}
