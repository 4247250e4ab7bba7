"""The probe during training: what is logged, which adapter is kept, when inflation ends a run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mllmrec.training import probe as module
from mllmrec.training.choices import expected
from mllmrec.training.options import ProbeOptions
from mllmrec.training.probe import Probe, ProbeCallback
from mllmrec.training.session import is_over

OPTIONS = ProbeOptions(samples=2, protocol="uni2", every=2, keep="best")


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A callback over scripted measurements, and a function that runs so many steps by it."""
    saved = []
    monkeypatch.setattr(module, "save_adapter", lambda model, folder: saved.append(folder))

    def run(ndcgs, rewards, probe_reward=0.5, steps=12, **more):
        told = iter(ndcgs)
        fake = SimpleNamespace(
            measure=lambda model: {"probe/ndcg@5": next(told), "probe/reward": probe_reward}
        )
        callback = ProbeCallback(fake, OPTIONS, tmp_path, lambda metrics, step: None, **more)
        state = SimpleNamespace(global_step=0, max_steps=steps, log_history=[])
        control = SimpleNamespace(should_training_stop=False)
        (tmp_path / "best.json").unlink(missing_ok=True)
        callback.on_train_begin(None, state, control, model=None)
        for step, reward in zip(range(1, steps + 1), rewards, strict=False):
            state.global_step = step
            callback.on_step_end(None, state, control, model=None)
            state.log_history.append({"step": step, "reward": reward})
            if control.should_training_stop:
                break
        best = json.loads((tmp_path / "best.json").read_text())
        return callback, state, best

    return run


RISING = [0.1 * step for step in range(1, 13)]


def test_a_reward_that_rises_alone_ends_the_run_and_the_best_is_kept(watch):
    callback, state, best = watch(
        [0.5, 0.6, 0.55, 0.54, 0.53, 0.52, 0.51], RISING, patience=2, is_like_training=True
    )
    # train .1 (steps before the look at 2), then .25, .45: inflated at 4 and at 6
    assert state.global_step == 6 and best["step"] == 2 and best["probe/ndcg@5"] == 0.6
    looks = [entry for entry in state.log_history if "probe/ndcg@5" in entry]
    assert looks[1]["probe/train_reward"] == pytest.approx(0.1)
    assert looks[2]["probe/inflation"] == pytest.approx(0.25 - 0.1)
    trainer = SimpleNamespace(callback_handler=SimpleNamespace(callbacks=[object(), callback]))
    assert is_over(trainer, state)  # a resumed run trains no step more
    state.log_history = state.log_history[:3]
    assert not is_over(trainer, state)


def test_without_patience_or_where_rewards_are_not_alike_nothing_ends(watch):
    falling = [0.5, 0.6, 0.55, 0.54, 0.53, 0.52, 0.51]
    _, state, _ = watch(falling, RISING, is_like_training=True)
    assert state.global_step == 12
    _, state, _ = watch(falling, RISING, patience=1, is_like_training=False)
    assert state.global_step == 12
    assert not any("probe/inflation" in entry for entry in state.log_history)


def test_a_ranking_that_gets_better_is_no_inflation(watch):
    _, state, best = watch(
        [0.5, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65], RISING, patience=1, is_like_training=True
    )
    assert state.global_step == 12 and best["step"] == 12


def test_the_expected_reward_is_that_of_the_policy_held_to_the_candidates():
    scores = [np.log([0.2, 0.1, 0.1]).tolist(), [0.0, 0.0]]  # what is left is renormalised
    assert expected(scores, [[1.0, 0.3, 0.3], [1.0, 0.0]]) == pytest.approx((0.65 + 0.5) / 2)


def test_a_hint_is_in_its_own_view_and_in_no_other(config, prepared, tokenizer):
    rewards = config.groups["reward"]
    id = prepared.chosen("validation", 2, 1, "probe")["sample_id"][0]
    words = config.groups["words"]
    made = Probe(
        *(OPTIONS, prepared, config.prompt, words, tokenizer, 4096, 1),
        hints={id: "zebra zebra"},
        rewards=rewards,
    )
    plain, hinted = ([tokenizer.decode(p) for p in made.views[v]] for v in ("", "hint/"))
    assert not any("zebra" in text for text in plain)
    assert [("zebra" in text) for text in hinted] == [True, False]
    assert hinted[1] == plain[1]
    for row, paid in zip(made.choices.targets, made.choices.payoffs, strict=True):
        assert paid[row] == max(paid) and paid.count(max(paid)) == 1


def test_it_tells_ranking_and_reward_of_both_views(config, prepared, tokenizer, model):
    words, rewards = config.groups["words"], config.groups["reward"]
    probe = (OPTIONS, prepared, config.prompt, words, tokenizer, 4096, 1)
    told = Probe(*probe, hints={"u:3": "x"}, rewards=rewards).measure(model)
    names = {"hr@1", "ndcg@5", "mrr", "reward"}
    assert told.keys() == {
        *(f"probe/{name}" for name in names),
        *(f"probe/hint/{name}" for name in names),
        "probe/hint_gap",
    }
    assert told["probe/hint_gap"] == told["probe/hint/reward"] - told["probe/reward"]
    assert Probe(*probe).measure(model).keys() == {"probe/hr@1", "probe/ndcg@5", "probe/mrr"}
