"""A model for others: what is refused and reused, and the whole way there and back."""

import json
import re
import subprocess
import sys
import time
from itertools import pairwise

import polars as pl
import pytest

from mllmrec.artifacts import Store
from mllmrec.errors import Refusal
from mllmrec.records import Prepared
from tests.launching import SMALL, command, config, environment, ids, launch, steps, told

EXPORT = ("stage=export", *SMALL)


@pytest.mark.parametrize("policy", ["sasrec", "popularity", "oracle", "backbone_text", "grp"])
def test_what_is_no_language_model_is_refused(policy):
    with pytest.raises(Refusal, match="no language model") as refusal:
        config(*EXPORT, f"export.policy={policy}")
    assert refusal.value.allowed == "backbone, sft, grpo, sft_continued"


def test_strangers_beside_it_are_refused():
    with pytest.raises(Refusal, match="unknown policies"):
        config(*EXPORT, "export.beside=[nobody]")


@pytest.mark.parametrize(
    ("policy", "trained"),
    [
        ("backbone", {"pretrain"}),
        ("sft", {"pretrain", "sft", "merge"}),
        ("grpo", {"pretrain", "sft", "merge", "grpo"}),
        ("sft_continued", {"pretrain", "sft", "merge", "sft_continued"}),
    ],
)
def test_only_what_the_model_is_made_of_is_trained(tmp_path, policy, trained):
    words = (f"export.policy={policy}", "export.evaluated=false", "cot_prob=0")
    planned = steps(Store(root=tmp_path), *EXPORT, *words)
    stages = {step.stage.name for step in planned}
    assert stages == {"prepare", "caption", "export"} | trained


def test_rankings_are_those_of_the_evaluation():
    there, here = ids(*SMALL), ids(*EXPORT)
    ranked = {label for label in here if label.startswith("rank ")}
    assert ranked == {"rank popularity", "rank backbone", "rank sft", "rank grpo"}
    assert all(here[label] == there[label] for label in ranked)


@pytest.mark.slow
def test_what_stands_beside_and_the_type_count_and_the_copy_does_not():
    here, alone = ids(*EXPORT), ids(*EXPORT, "export.beside=[]")
    assert {label for label in alone if label.startswith("rank ")} == {"rank grpo"}
    assert ids(*EXPORT, "export.to=x", "export.overwrite=true") == here
    assert ids(*EXPORT, "export.dtype=bfloat16")["export"] != here["export"]


@pytest.mark.parametrize(
    "words",
    [
        ["sft.adopt={0}", "backbone=qwen3_0_6b", "backbone.path={0}"],
        ["merge.adopt={0}", "backbone=qwen3_0_6b", "backbone.path={0}"],
        ["dataset=table", "dataset.path={0}", "dataset.interactions=log.csv"],
    ],
)
def test_what_lies_on_this_machine_is_known_by_its_content_alone(tmp_path, words):
    """The card and mllmrec.json tell no more of a step than its identity does."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text('{"model_type": "qwen3"}')
    (mine / "log.csv").write_text("user_id,item_id,timestamp,title\nu,i,1,T\n")
    words = ["export.policy=sft", "cot_prob=0", *(word.format(mine) for word in words)]
    planned = steps(Store(root=tmp_path / "store"), "stage=export", "tracking=off", *words)
    assert planned[-1].label == "export"
    told = json.dumps([step.identity for step in planned])
    assert "mine" not in told and str(tmp_path) not in told


def test_a_place_that_is_taken_is_refused_before_anything_is_built(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    made = config(*EXPORT, f"export.to={tmp_path}")
    with pytest.raises(Refusal, match="is not an earlier export"):
        made.goal.ready(made)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store with a debug run's GRPO model, exported to ``home / "model"`` by the command."""
    home = tmp_path_factory.mktemp("home")
    done = run(home, "stage=export", "export.beside=[popularity]", "export.to=model")
    assert done.returncode == 0, done.stderr
    assert "log-probabilities within" in done.stdout
    return home


def run(home, *words):
    words = ("experiment=debug", "tracking=off", "threads=1", *words)
    return launch(*words, cwd=home, timeout=300)


CHECK = """
import sys, torch
sys.modules["mllmrec"] = None  # plain transformers, and nothing of ours
{code}
message = json.load(open("asked.json"))
text = tokenizer.apply_chat_template(
    message, add_generation_prompt=True, enable_thinking=False, tokenize=False
)
ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
found = model(**ids).logits[0, -1].log_softmax(-1)
items = tokenizer.get_added_vocab()
json.dump({{t[6:-1]: float(found[i]) for t, i in items.items() if t.startswith("[ITEM_")}},
          open("plain.json", "w"))
"""


@pytest.mark.slow
def test_the_cards_code_runs_and_gives_the_scores_of_recommend(home):
    """An independent opinion: plain transformers on the folder, the log p of each item's token."""
    done = run(home, "stage=recommend", "recommend.history=[3,1,4]", "recommend.top=200")
    assert done.returncode == 0, done.stderr
    assert not re.search(r"(pretrain|sft|merge|grpo) \w{16}: build", done.stderr + done.stdout)
    folder = next((home / "artifacts/toy/recommend").glob("[!.]*"))
    rows = pl.read_parquet(folder / "recommendations.parquet")
    prepared = Prepared(
        next((home / "artifacts/toy/prepare").glob("[!.]*")),
        next((home / "artifacts/toy/caption").glob("[!.]*")),
    )
    made = config("experiment=debug")
    mouth, words = made.prompt, made.groups["words"].model_dump()
    text = mouth.render(["3", "1", "4"], [], prepared.titles, words, captions=prepared.captions)
    (home / "asked.json").write_text(json.dumps([{"role": "user", "content": text}]))
    card = (home / "model" / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    code = code.replace('folder = "."', 'folder = "model"')
    command = [sys.executable, "-c", CHECK.format(code=code)]
    plain = subprocess.run(command, cwd=home, capture_output=True, text=True, env=environment())
    assert plain.returncode == 0, plain.stderr
    scores = json.loads((home / "plain.json").read_text())
    assert {*rows["item_id"]} == {*prepared.titles} - {"1", "3", "4"}
    for item, score in rows.select("item_id", "score").iter_rows():
        assert score == pytest.approx(scores[item], abs=1e-4), item
    assert all(a >= b for a, b in pairwise(rows["score"]))


@pytest.mark.slow
def test_the_card_tells_what_the_evaluation_found(home):
    card = (home / "model" / "README.md").read_text(encoding="utf-8")
    results = json.loads(
        next((home / "artifacts/toy/evaluate").glob("[!.]*/results.json")).read_text()
    )
    found = results["protocols"]["uni9"]["policies"]
    assert {*found} == {"popularity", "grpo"}
    for value in (value for by in found.values() for value in by.values()):
        assert f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" in card
    for folder in (home / "artifacts/toy").glob("*/[!.]*/manifest.json"):
        if folder.parent.parent.name not in ("export", "recommend", "requests"):
            assert f"`{folder.parent.name}`" in card
    assert str(home) not in card + (home / "model" / "mllmrec.json").read_text()
    names = {path.name for path in (home / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert "manifest.json" not in names


@pytest.mark.slow
def test_a_killed_recommendation_of_many_goes_on_and_is_the_same(home, tmp_path):
    file = tmp_path / "many.jsonl"
    items = next((home / "artifacts/toy/prepare").glob("[!.]*/items.parquet"))
    known = pl.read_parquet(items)["item_id"].to_list()
    rows = [{"id": f"r{n}", "history": [known[n % 30], known[n % 45]]} for n in range(280)]
    file.write_text("\n".join(map(json.dumps, rows)))
    words = ("stage=recommend", f"recommend.file={file}", "recommend.top=3")
    words = ("experiment=debug", "tracking=off", "threads=1", *words)
    parts = home / "artifacts/toy/recommend"
    process = subprocess.Popen(
        command(*words),
        cwd=home,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 300
    while not [*parts.glob(".partial-*/.scratch/parts/[!.]*.parquet")]:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = {p: p.stat().st_mtime_ns for p in parts.glob(".partial-*/.scratch/parts/[!.]*")}
    assert len(kept) == 1
    done = launch(*words, cwd=home, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "recommend" in done.stdout and "\r" not in done.stdout + done.stderr
    last = max(parts.glob("[!.]*/about.json"), key=lambda path: path.stat().st_mtime).parent
    found = [json.loads(line) for line in (last / "recommendations.jsonl").open()]
    assert [line["id"] for line in found] == [row["id"] for row in rows]
    by_history = {}
    for line in found:  # the same history, whether it was ranked before the kill or after it
        scores = [round(one["score"], 3) for one in line["recommended"]]
        assert by_history.setdefault(tuple(line["history"]), scores) == scores


@pytest.mark.slow
def test_an_export_is_never_written_over_unless_it_is_asked_for(home):
    changed = ("stage=export", "export.beside=[popularity]", "export.dtype=bfloat16")
    done = run(home, *changed, "export.to=model")
    assert "export.overwrite=true" in told(done)
    done = run(home, *changed, "export.to=model", "export.overwrite=true")
    assert done.returncode == 0, done.stderr
    assert json.loads((home / "model" / "config.json").read_text())["dtype"] == "bfloat16"
