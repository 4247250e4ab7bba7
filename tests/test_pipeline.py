"""The whole chain through the real command line, on the smallest data: minutes, hence slow."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest

from mllmrec.artifacts import MANIFEST, Store
from mllmrec.build import carry_out
from mllmrec.plan import plan
from mllmrec.reward.base import Reward
from tests.launching import command, config, environment, launch, make, told

pytestmark = pytest.mark.slow

DEBUG = ("experiment=debug", "threads=1", "cot_prob=0.5", "tracking=off", "dataset.poster_size=16")
LIGHT = ("prepare", "caption", "pseudo_cot", "assess", "hints")  # torch is not loaded for these
# Enough steps that a kill falls between a checkpoint and the end.
FEW = (*DEBUG, "dataset.users=15", "dataset.windows=sliding", "prepare.protocols=[uni9]")
LONG = (*DEBUG, "sft.max_steps=6", "grpo.max_steps=6", "stage=grpo")


def run(*words, cwd):
    done = launch(*words, cwd=cwd, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def by_label(folder):
    return {a.manifest["label"]: a for a in Store(root=folder / "artifacts")}


def content(artifact):
    files = (p for p in artifact.folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(artifact.folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A finished debug chain: its folder, and what the launch said."""
    folder = tmp_path_factory.mktemp("chain")
    return folder, run(*DEBUG, cwd=folder)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A store up to the merged model, with about a hundred training samples."""
    store = Store(root=tmp_path_factory.mktemp("few") / "artifacts")
    make(store, *FEW, "stage=merge")
    return store.root


@pytest.fixture(scope="module")
def long(chain, tmp_path_factory):
    """A finished chain of more steps in a store of its own, never interrupted."""
    folder = tmp_path_factory.mktemp("long")
    run(*LONG, cwd=folder)
    return folder


def test_every_stage_is_published_and_the_result_is_printed(chain):
    folder, said = chain
    made = by_label(folder)
    stages = {"prepare", "caption", "pseudo_cot", "consistency", "assess", "hints validation"}
    stages |= {"pretrain", "sft", "merge", "grpo", "sft_continued", "fit sasrec"}
    policies = {"random", "popularity", "popularity_recent", "markov", "cooccurrence", "sasrec"}
    policies |= {"oracle", "backbone", "backbone_text"}
    ranks = {f"rank {policy}" for policy in policies | {"sft", "sft_continued", "grpo"}}
    assert set(made) == stages | ranks | {"evaluate"}
    for artifact in made.values():
        artifact.verify(thorough=True)
        assert artifact.manifest["threads"] == 1 or artifact.stage in LIGHT
    assert "uni9: 10 candidates" in said and "grpo is" in said
    assert not list((folder / "artifacts").rglob(".partial-*"))


def test_a_log_is_plain_lines_with_one_that_begins_and_one_that_ends_each_stage(chain):
    """Not on a terminal there are no bars and no colours: nothing that moves the cursor."""
    folder, said = chain
    assert not re.search(r"[^\n\t\x20-\x7e\u00a0-\uffff]", said)
    made = by_label(folder)
    numbered = re.findall(
        r"^\[(\d+)/(\d+)\] (.+) ([0-9a-f]{16}): (build|done) ", said, re.MULTILINE
    )
    begun, done = ({line[2:4] for line in numbered if line[4] == how} for how in ("build", "done"))
    assert begun == done == {(label, artifact.id) for label, artifact in made.items()}
    assert {line[1] for line in numbered} == {str(len(made))}


def test_a_second_launch_builds_nothing(chain):
    folder, _ = chain
    before = {a.id: (a.folder / MANIFEST).stat().st_mtime_ns for a in by_label(folder).values()}
    said = run(*DEBUG, cwd=folder)
    after = {a.id: (a.folder / MANIFEST).stat().st_mtime_ns for a in by_label(folder).values()}
    assert before == after
    assert ": build" not in said and said.count(": reused") == len(before)


def test_another_beta_builds_grpo_its_ranking_and_the_evaluation(chain):
    folder, _ = chain
    before = set(Store(root=folder / "artifacts"))
    run(*DEBUG, "grpo.beta=0.2", cwd=folder)
    new = [a.manifest["label"] for a in Store(root=folder / "artifacts") if a not in before]
    assert sorted(new) == ["evaluate", "grpo", "rank grpo"]


@pytest.mark.parametrize("stage", ["sft", "sft_continued"])
def test_supervised_training_has_changed_the_adapter(chain, stage):
    """PEFT begins with B = 0, an adapter that does nothing."""
    from safetensors.torch import load_file

    weights = load_file(by_label(chain[0])[stage].folder / "adapter_model.safetensors")
    second = [value for name, value in weights.items() if "lora_B" in name]
    assert second and all(value.abs().max() > 0 for value in second)


class Variety(Reward):
    """How many different signs an answer has."""

    def __call__(self, text, *, target, candidates, titles):
        return float(len(set(text)))


def test_grpo_has_changed_the_adapter(chain):
    """By a reward that differs between rollouts; with the usual one a raw model may learn nothing.

    The last adapter is looked at, as the best one on the probe may be that of step 0, and there is
    no warm-up, which begins at a learning rate of 0.
    """
    from safetensors.torch import load_file

    words = ("stage=grpo", "grpo.probe=null", "grpo.max_steps=1", "grpo.warmup_steps=0")
    usual = config(*DEBUG, *words)
    groups = {**usual.groups, "reward": {"variety": Variety(weight=1.0)}}
    changed = usual.model_copy(update={"groups": groups})
    planned = plan(changed, Store(root=chain[0] / "artifacts"))
    assert [step.label for step in planned if step.action == "build"] == ["grpo"]
    done = carry_out(planned, changed, lambda label, metrics, step: None)[planned[-1].id].artifact
    assert done.manifest["metrics"]["rewards/variety/std"] > 0
    weights = load_file(done.folder / "adapter_model.safetensors")
    assert all(v.abs().max() > 0 for name, v in weights.items() if "lora_B" in name)


def test_the_merged_model_gives_the_log_probabilities_of_the_adapter(chain):
    assert by_label(chain[0])["merge"].manifest["metrics"]["max_logp_difference"] < 1e-3


def test_one_prompt_in_sft_grpo_and_evaluation(chain):
    """The same tokens stand before the answer in all three: those of the chat template."""
    from mllmrec.backbone.loading import load_tokenizer
    from mllmrec.records import Prepared
    from mllmrec.rendering import fitted
    from mllmrec.training.data import answered_rows
    from mllmrec.training.grpo import prompt_rows

    made, conf = by_label(chain[0]), config(*DEBUG)
    prepared, prompt = Prepared(made["prepare"].folder, made["caption"].folder), conf.prompt
    tokenizer = load_tokenizer(made["merge"].folder)
    some, words = prepared.samples("train").head(5), conf.groups["words"]
    fit = fitted(some, "train", prepared, prompt, words, tokenizer, 4096, 2)  # as evaluation does
    rolled = [row["prompt"] for row in prompt_rows(fit, prompt, {})]
    texts = [one.text for one in fit.made]
    trained = answered_rows(texts, some["target"].to_list(), prepared, prompt, tokenizer)
    for one, rollout, row in zip(fit.made, rolled, trained, strict=True):
        ids = tokenizer.apply_chat_template(
            rollout, add_generation_prompt=True, enable_thinking=False
        )["input_ids"]
        assert ids == one.ids == row["input_ids"][: len(ids)]
        assert row["labels"][: len(ids)] == [-100] * len(ids)
        assert all(label != -100 for label in row["labels"][len(ids) :])


def test_a_rationale_is_in_the_asked_share_of_training_prompts_and_in_no_other(chain):
    from mllmrec.training.rationales import choose, read

    made = by_label(chain[0])
    ids = pl.read_parquet(made["prepare"].folder / "train.parquet")["sample_id"].to_list()
    texts = read({"rationales": made["assess"].folder})
    half, tenth = (choose(ids, texts, share, 42, "sft") for share in (0.5, 0.1))
    assert len(half) == round(0.5 * len(ids)) and set(tenth) < set(half)
    assert len(texts) == made["assess"].manifest["metrics"]["kept"]


def test_trainer_args_that_trl_does_not_know_are_refused(chain, tmp_path):
    store = f"artifacts={chain[0] / 'artifacts'}"
    for stage in ("sft", "grpo"):
        words = (f"stage={stage}", f"+{stage}.trainer_args.no_such_thing=1")
        line = told(launch(*DEBUG, *words, store, cwd=tmp_path, timeout=300))
        assert "no_such_thing" in line and f"{stage}.trainer_args={{}}" in line


def test_two_runs_give_the_same_bytes(chain, tmp_path):
    run(*DEBUG, cwd=tmp_path)
    store = Store(root=chain[0] / "artifacts")
    for label, there in by_label(tmp_path).items():
        here = store.find("toy", there.stage, there.id)
        files, twins = content(here), content(there)
        assert files.keys() == twins.keys()
        differing = [name for name in files if files[name] != twins[name]]
        assert not differing, (label, differing)
        assert here.manifest["metrics"] == there.manifest["metrics"]


def kill_after_a_checkpoint(stage, cwd):
    """Launch, and kill the process once this stage has a whole checkpoint and is not done."""
    with (cwd / "log").open("w") as log:
        process = subprocess.Popen(
            command(*LONG), cwd=cwd, env=environment(), stdout=log, stderr=log
        )
        deadline = time.monotonic() + 600
        while not list(cwd.glob(f"artifacts/toy/{stage}/.partial-*/.scratch/checkpoints/*/whole")):
            assert process.poll() is None and time.monotonic() < deadline, Path(
                log.name
            ).read_text()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not list(cwd.glob(f"artifacts/toy/{stage}/[!.]*"))


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_killed_training_is_gone_on_with_to_the_same_bytes(long, tmp_path, stage):
    kill_after_a_checkpoint(stage, tmp_path)
    said = run(*LONG, cwd=tmp_path)
    assert f"{stage}: going on from step" in said
    whole, resumed = by_label(long), by_label(tmp_path)
    assert content(whole[stage]) == content(resumed[stage])
    metrics = (json.dumps(a[stage].manifest["metrics"], sort_keys=True) for a in (whole, resumed))
    assert next(metrics) == next(metrics)


@pytest.mark.parametrize("stage", ["pretrain", "sft", "grpo"])
def test_a_kill_between_the_last_step_and_the_manifest_changes_nothing(
    long, tmp_path, monkeypatch, stage
):
    """The last checkpoint is loaded, not trained on for one step more."""
    store = Store(root=tmp_path / "artifacts")
    shutil.copytree(long / "artifacts", store.root)
    whole = by_label(long)[stage]
    shutil.rmtree(store.root / whole.folder.relative_to(long / "artifacts"))
    later = {"pretrain": ("sft.", "grpo."), "sft": ("grpo.",), "grpo": ()}[stage]
    words = (*(word for word in LONG[:-1] if not word.startswith(later)), f"stage={stage}")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mllmrec.build.artifacts.publish", killed)
        with pytest.raises(KeyboardInterrupt):
            make(store, *words)
    made = make(store, *words)[stage]
    assert content(made) == content(whole)
    assert made.manifest["metrics"] == whole.manifest["metrics"]
    assert made.manifest["metrics"]["steps"] == (2 if stage == "pretrain" else 6)
    assert not (made.folder / ".scratch").exists()


def test_other_methods_are_one_override_away(chain):
    """Through the command line: each trains anew on the SFT model that is there."""
    folder, _ = chain
    said = run("-m", *DEBUG, "stage=grpo", "algorithm=riser,rere", cwd=folder)
    begun = re.findall(r"\] (sft|merge|grpo) \w+: (build|reused)", said)
    assert begun.count(("grpo", "build")) == 2 and ("sft", "build") not in begun
    told = [json.loads(file.read_text()) for file in folder.glob("multirun/**/run.json")]
    assert {"riser", "rere"} <= {launch["choices"]["algorithm"] for launch in told}


def test_a_grid_trains_each_distinct_sft_once(chain):
    folder, _ = chain
    words = (*DEBUG[:2], *DEBUG[3:], "stage=grpo", "cot_prob=0,0.5", "grpo.beta=0.01,0.02")
    said = run("-m", *words, cwd=folder)
    begun = re.findall(r"\] (sft|grpo) \w+: (build|reused)", said)
    assert sorted(begun) == [
        *[("grpo", "build")] * 4,
        ("sft", "build"),  # the one with rationales is there from before
        *[("sft", "reused")] * 3,
    ]
