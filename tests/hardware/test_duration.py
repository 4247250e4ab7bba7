"""Seconds a step: as an earlier artifact took, or by operations that are counted by hand."""

from types import SimpleNamespace

import pytest

from mllmrec.artifacts import Store, partial_of, publish
from mllmrec.hardware.duration import flops_of, pace_of, probing_of, steps_of, tokens_of
from mllmrec.hardware.machine import Machine
from mllmrec.hardware.shape import shape_of
from tests.launching import config, steps

CPU = Machine(name="2 CPU cores", is_gpu=False, bytes=2**34, peak=1e10)
PLAIN = ("prompt.captions=false", "cot_prob=0")


def the_step(store, label, *words):
    return next(step for step in steps(store, *words) if step.label == label)


def test_steps():
    def stage(epochs, most):
        return SimpleNamespace(epochs=epochs, max_steps=most, batch_size=16)

    assert steps_of(stage(None, 400), None) == 400
    assert steps_of(stage(3, None), 100) == 19, "300 rows by 16, the last step not full"
    assert steps_of(stage(3, None), None) is None
    control = SimpleNamespace(match="tokens", epochs=None, max_steps=400, batch_size=16)
    assert steps_of(control, 100) is None, "by the tokens that GRPO will have read"
    control.match = "steps"
    assert steps_of(control, 100) == 400


def test_tokens_of_a_row():
    """Eight of history and ten candidates, of 5 tokens a title and one a marker; 40 around."""
    found = config("stage=sft", *PLAIN)
    assert tokens_of(found.stages["sft"], found) == 18 * 6 + 40
    hard = config("stage=sft", "prepare.train_protocol=hard9", *PLAIN)
    assert tokens_of(hard.stages["sft"], hard) == 18 * 6 + 40
    whole = config("stage=sft", "prepare.train_protocol=full", *PLAIN)
    assert tokens_of(whole.stages["sft"], whole) == 8 * 6 + 40, "no list"
    more = config("stage=sft", "backbone.item_tokens=false", *PLAIN)
    assert tokens_of(more.stages["sft"], more) == 18 * 12 + 40
    shown = config("stage=sft", "prompt.captions=true", "prompt.caption_words=6", "cot_prob=0")
    assert tokens_of(shown.stages["sft"], shown) == 18 * (6 + 8) + 40
    assert tokens_of(found.stages["pretrain"], found) == 16 * 6


def test_operations_of_a_step():
    """Forward and backward of an adapter are twice twice the parameters a token."""
    found = config("stage=grpo", *PLAIN)
    shape = shape_of(found.backbone)
    sft, grpo = found.stages["sft"], found.stages["grpo"]
    rows = sft.batch_size * tokens_of(sft, found)
    assert flops_of(sft, found, shape) == pytest.approx(2 * 2 * shape.body * rows)
    kept = sft.model_copy(update={"gradient_checkpointing": True})
    assert flops_of(kept, found, shape) == pytest.approx(3 * 2 * shape.body * rows)
    rows = grpo.batch_size * tokens_of(grpo, found)
    assert flops_of(grpo, found, shape) == pytest.approx(3 * 2 * shape.body * rows), "the reference"
    free = grpo.model_copy(update={"beta": 0.0})
    assert flops_of(free, found, shape) == pytest.approx(2 * 2 * shape.body * rows)
    pretrain = found.stages["pretrain"]
    rows = pretrain.batch_size * tokens_of(pretrain, found)
    assert flops_of(pretrain, found, shape) == pytest.approx(3 * 2 * shape.body * rows)


def test_a_probe_goes_forward_through_its_samples_at_every_look():
    """Eight items of history and ten candidates in a prompt, and ten answers behind it."""
    look = "sft.probe={samples: 12, protocol: uni9, every: 2, keep: last}"
    found = config("stage=sft", look, *PLAIN)
    shape, sft = shape_of(found.backbone), found.stages["sft"]
    each = 18 * 6 + 40 + 10 * 6
    assert probing_of(sft, found, shape) == pytest.approx(2 * shape.body * 12 * each / 2)
    rare = sft.model_copy(update={"probe": sft.probe.model_copy(update={"every": 10**6})})
    assert probing_of(rare, found, shape) == pytest.approx(2 * shape.body * 12 * each / 400)
    assert probing_of(sft.model_copy(update={"probe": None}), found, shape) == 0
    hinted = config("stage=grpo", "cot_prob=0.5", "prompt.captions=false")
    grpo = hinted.stages["grpo"]
    words = ("stage=grpo", "prompt.captions=false", "cot_prob=0")
    plain = config(*words)
    assert probing_of(grpo, hinted, shape) == 2 * probing_of(plain.stages["grpo"], plain, shape)


def test_the_pace_of_cores_counts_the_probe(tmp_path):
    store = Store(root=tmp_path)
    look = "sft.probe={samples: 12, protocol: uni9, every: 2, keep: last}"
    found = config("stage=sft", look, *PLAIN)
    step = the_step(store, "sft", "stage=sft", look, *PLAIN)
    shape, sft = shape_of(found.backbone), found.stages["sft"]
    pace = pace_of(step, found, store, shape, CPU)
    flops = flops_of(sft, found, shape) + probing_of(sft, found, shape)
    assert pace and pace.seconds == pytest.approx(flops / 1e10)


def test_writing_token_by_token_takes_longer():
    drawn = config("stage=grpo", *PLAIN)
    free = config(
        "stage=grpo", "algorithm/rollout=sample", "algorithm.rollout.constraint=null", *PLAIN
    )
    shape = shape_of(drawn.backbone)
    assert flops_of(free.stages["grpo"], free, shape) > 2 * flops_of(
        drawn.stages["grpo"], drawn, shape
    )


def test_an_earlier_artifact_tells_the_pace(tmp_path):
    store = Store(root=tmp_path)
    words = ("stage=sft", *PLAIN)
    step = the_step(store, "sft", *words)
    shape = shape_of(config(*words).backbone)
    by_hand = pace_of(step, config(*words), store, shape, CPU)
    assert by_hand and by_hand.source.startswith("by ") and by_hand.source.endswith("0.01 TFLOP/s")
    assert by_hand.seconds == pytest.approx(flops_of(step.stage, config(*words), shape) / 1e10)
    folder = store.folder("toy", "sft", "abc")
    partial_of(folder).mkdir(parents=True)
    said = {"label": "sft", "identity": step.identity, "metrics": {"steps": 50.0}}
    publish(partial_of(folder), folder, {**said, "seconds": 100.0, "began": "2030-01-01"})
    same = pace_of(step, config(*words), store, shape, CPU)
    assert same and (same.seconds, same.source) == (2.0, "as abc took")
    larger = (*words, "sft.batch_size=48")
    found = pace_of(the_step(store, "sft", *larger), config(*larger), store, shape, CPU)
    assert found and found.seconds == 6.0, "three times the rows"
    wider = (*words, "backbone.hidden_size=256")
    other = pace_of(the_step(store, "sft", *wider), config(*wider), store, shape, CPU)
    assert other and other.source.startswith("by "), "another model"
    unknown = Machine(name="Z1", is_gpu=True, bytes=2**34, peak=None)
    assert pace_of(the_step(store, "sft", *wider), config(*wider), store, shape, unknown) is None
