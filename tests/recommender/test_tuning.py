"""A search within its budget: the best trial is published, and a kill changes nothing."""

import json
from types import SimpleNamespace

import polars as pl
import pytest

from mllmrec.errors import Refusal
from mllmrec.recommender import fitting, tuning
from mllmrec.recommender.tuning import Trial, is_late, suggested
from tests.recommender.cycle import fitted, knobs

SPACE = {
    "learning_rate": {"low": 1e-4, "high": 3e-2, "log": True},
    "hidden_size": {"low": 4, "high": 16, "log": False},
    "heads": [1],
    "stride": [2, None],
}
NAMES = ("weights.safetensors", "fit.json", "trials.parquet")


def searching(trials, space=None, minutes=None, **more):
    tune = {"trials": trials, "minutes": minutes, "space": SPACE if space is None else space}
    return knobs("sasrec", max_epochs=1, heads=1, tune=tune, **more)


def content(folder):
    return {name: (folder / name).read_bytes() for name in NAMES}


def test_the_best_trial_is_published_with_all_that_was_tried(circle, tmp_path):
    found = fitted(searching(4), circle, tmp_path)
    told = json.loads((tmp_path / "fit.json").read_text())
    trials = pl.read_parquet(tmp_path / "trials.parquet")
    assert found["trials"] == trials.height == told["tuning"]["done"] == 4
    assert told["tuning"]["trials"] == 4 and told["tuning"]["minutes"] is None
    assert set(told["tuning"]["space"]) == set(SPACE)
    best = trials.row(told["tuning"]["best"], named=True)
    assert best["ndcg@10"] == trials["ndcg@10"].max() == found["ndcg@10"]
    assert {name: best[name] for name in SPACE} == {name: told["settings"][name] for name in SPACE}
    first = trials.row(0, named=True)  # those of the YAML
    assert (first["learning_rate"], first["hidden_size"], first["stride"]) == (1e-2, 16, None)
    assert len({*trials["learning_rate"]}) == 4
    assert trials["learning_rate"].is_between(1e-4, 3e-2).all()
    assert trials["hidden_size"].is_between(4, 16).all()


def test_the_best_trial_is_what_its_settings_alone_would_give(circle, tmp_path):
    fitted(searching(3), circle, tmp_path / "search")
    told = json.loads((tmp_path / "search" / "fit.json").read_text())
    fitted(searching(0).at(told["settings"]), circle, tmp_path / "alone")
    weights = [(tmp_path / name / NAMES[0]).read_bytes() for name in ("search", "alone")]
    assert weights[0] == weights[1]


class Killed(Exception):
    pass


@pytest.mark.parametrize("where", ["within a trial", "between trials"])
def test_a_killed_search_goes_on_and_ends_the_same(where, circle, tmp_path, monkeypatch):
    """Within: after the fit of the third trial's first round, before it is told."""
    made = searching(7, validate_every=4)
    fitted(made, circle, tmp_path / "whole")
    saved, count = tuning.fit, iter(range(99))

    def killing(knobs, task, scratch, seed, label, log):
        if next(count) == 2:
            if where == "within a trial":
                monkeypatch.undo()

                def dying(metrics, number):
                    raise Killed

                saved(knobs, task, scratch, seed, label, dying)
            raise Killed
        return saved(knobs, task, scratch, seed, label, log)

    monkeypatch.setattr(tuning, "fit", killing)
    with pytest.raises(Killed):
        fitted(made, circle, tmp_path / "cut")
    monkeypatch.undo()
    journal = tmp_path / "cut" / ".scratch" / tuning.JOURNAL
    assert len(json.loads(journal.read_text())) == 2
    assert (journal.parent / "trial-2").exists() == (where == "within a trial")
    fitted(made, circle, tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def trial(found, seconds=0.0, **values):
    return Trial(values=values, found=found, diverged=False, epochs=1.0, seconds=seconds)


def test_no_trial_is_begun_after_the_minutes():
    made = searching(9, minutes=1.0)
    assert not is_late(made, [trial(0.1, seconds=59.0)])
    assert is_late(made, [trial(0.1, seconds=30.0), trial(0.1, seconds=30.0)])
    assert not is_late(searching(9), [trial(0.1, seconds=1e9)])


def test_settings_follow_from_the_seed_and_the_trials_before():
    made, done = searching(9), []
    for number in range(8):
        values = suggested(made, done, 3)
        assert values == suggested(made, done, 3)
        if number:
            assert values != suggested(made, done, 4)
        done.append(trial(0.1 * number, **values))


def test_the_search_looks_at_what_trials_gave():
    """The best rates are at the upper end: after the random ones it stays there."""
    space = {"learning_rate": {"low": 1e-4, "high": 3e-2, "log": True}}
    made, done = searching(40, space), []
    for _ in range(40):
        values = suggested(made, done, 0)
        done.append(trial(values["learning_rate"], **values))
    late = [one.values["learning_rate"] for one in done[25:]]
    assert sum(rate > 1e-2 for rate in late) > 10


def test_settings_outside_of_the_space_are_not_tried():
    made = searching(2, {"learning_rate": {"low": 1e-4, "high": 1e-3, "log": True}})
    assert suggested(made, [], 0)["learning_rate"] <= 1e-3


def test_a_trial_that_learns_nothing_is_told_and_left_behind(circle, tmp_path):
    """At such a rate nothing stays finite; the other one is chosen."""
    fitted(searching(2, {"learning_rate": [1e30, 1e-2]}), circle, tmp_path / "some")
    told = json.loads((tmp_path / "some" / "fit.json").read_text())
    assert told["settings"]["learning_rate"] == 1e-2
    trials = pl.read_parquet(tmp_path / "some" / "trials.parquet")
    assert sorted(trials["diverged"]) == [False, True]
    with pytest.raises(Refusal, match="the loss of no trial of 1 has stayed finite"):
        fitted(searching(1, {"learning_rate": [1e30]}), circle, tmp_path / "none")


def test_a_trial_that_finds_nothing_has_not_diverged(circle, tmp_path, monkeypatch):
    """NDCG@10 of 0 is said by validation, so it is published, before a loss that is lost."""
    monkeypatch.setattr(fitting, "judged", lambda network, task: {"ndcg@10": 0.0, "hr@10": 0.0})
    rates = iter([1e30, 1e-2, 1e-3])
    monkeypatch.setattr(tuning, "suggested", lambda *_: {"learning_rate": next(rates)})
    found = fitted(searching(3, {"learning_rate": [1e30, 1e-2, 1e-3]}), circle, tmp_path)
    told = json.loads((tmp_path / "fit.json").read_text())
    assert found["ndcg@10"] == 0.0 and told["settings"]["learning_rate"] == 1e-2


def test_a_trial_that_diverges_takes_its_minutes(circle, tmp_path, monkeypatch):
    """Four minutes a look at the clock: the first trial takes one between two, and is the last."""
    times = iter(range(0, 10**6, 240))
    monkeypatch.setattr(fitting, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with pytest.raises(Refusal, match="no trial of 1 has"):
        fitted(searching(3, {"learning_rate": [1e30]}, minutes=3.0), circle, tmp_path)
    journal = json.loads((tmp_path / ".scratch" / tuning.JOURNAL).read_text())
    assert [one["seconds"] for one in journal] == [240]


def test_the_order_of_the_space_changes_nothing():
    """An artifact's id does not know it either."""
    one, other = searching(9), searching(9, dict(reversed(SPACE.items())))
    assert list(other.tune.space) == sorted(SPACE)
    for number in range(1, 4):
        done = [trial(0.1, **suggested(one, [], n)) for n in range(number)]
        assert suggested(one, done, 3) == suggested(other, done, 3)


def test_whole_bounds_of_a_float_are_not_its_values():
    """And 0.5, which the YAML has, is tried first; bounds with a point are whole for a whole."""
    space = {
        "weight_decay": {"low": 0, "high": 1, "log": False},
        "hidden_size": {"low": 4.0, "high": 16.0, "log": False},
    }
    made, done = searching(9, space, weight_decay=0.5), []
    for number in range(4):
        done.append(trial(0.1 * number, **suggested(made, done, 0)))
    assert done[0].values == {"weight_decay": 0.5, "hidden_size": 16}
    assert all(0 < one.values["weight_decay"] < 1 for one in done)
    assert all(isinstance(one.values["hidden_size"], int) for one in done)


def test_null_lies_in_no_range():
    made = searching(9, {"stride": {"low": 1, "high": 5, "log": False}})
    assert suggested(made, [], 0)["stride"] in range(1, 6)
