"""Every algorithm trains on one shared SFT model, and ends alike whether it was killed or not."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from mllmrec.artifacts import MANIFEST, Store
from tests.launching import CONF, make

pytestmark = pytest.mark.slow

# Enough steps that a kill falls between a checkpoint and the end, behind the first epoch.
FEW = ("experiment=debug", "threads=1", "cot_prob=0.5", "tracking=off", "dataset.poster_size=16")
FEW += ("dataset.users=15", "prepare.protocols=[uni9]")
RUN = ("stage=grpo", "grpo.max_steps=4", "grpo.batch_size=6", "grpo.num_generations=4")
RUN += ("grpo.save_steps=2", "grpo.warmup_steps=0", "grpo.probe=null")
ALGORITHMS = sorted(file.stem for file in (CONF / "algorithm").glob("*.yaml"))
TWICE = ("grpo.num_iterations=2",)
VARIANTS = [
    ("grpo.tokens_per_batch=500",),
    ("algorithm/rollout=sample", "algorithm.rollout.constraint=token"),
    ("algorithm/kl=synced", "algorithm.kl.every=2"),
    ("algorithm=gspo", "grpo.num_iterations=2", "grpo.save_steps=2"),
    (
        "algorithm=riser",
        "algorithm.policy.anchor=old",
        "grpo.num_iterations=2",
        "grpo.save_steps=2",
    ),
]


def content(artifact):
    files = (p for p in artifact.folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(artifact.folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store up to the merged model, with a dozen training samples."""
    store = Store(root=tmp_path_factory.mktemp("few") / "artifacts")
    make(store, *FEW, "stage=merge")
    return store.root


@pytest.mark.parametrize(
    "words", [*((f"algorithm={name}",) for name in ALGORITHMS), *VARIANTS], ids="-".join
)
def test_it_trains_and_a_kill_changes_nothing(shared, tmp_path, monkeypatch, words):
    made = []
    for breaks in (False, True):
        store = Store(root=tmp_path / str(breaks))
        shutil.copytree(shared, store.root)
        if breaks:
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr("mllmrec.training.session.Follow.on_step_end", break_off)
                make(store, *FEW, *RUN, *words)
        made.append(make(store, *FEW, *RUN, *words)["grpo"])
    whole, resumed = made
    assert content(whole) == content(resumed)
    assert whole.manifest["metrics"] == resumed.manifest["metrics"]
    weights = load_file(whole.folder / "adapter_model.safetensors")
    moved = [name for name in weights if "lora_B" in name]  # zero before the first step
    assert moved and all(torch.isfinite(weights[name]).all() for name in weights)
    assert any(weights[name].abs().max() > 0 for name in moved)
    history = json.loads((whole.folder / "history.json").read_text())
    steps = [entry for entry in history if "loss" in entry]
    assert steps[-1]["step"] == 4 and all(entry["rollouts"] > 0 for entry in steps)
    assert {"groups/no_signal", "groups/unique", "tokens"} <= steps[0].keys()


def break_off(self, args, state, control, **_):
    if state.global_step == 3:
        raise KeyboardInterrupt
