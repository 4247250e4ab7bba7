import logging

import polars as pl
import pytest

from mllmrec.dataset.audit import BROKEN, audit, fingerprint, judge
from mllmrec.errors import Refusal


def table(user, history, target, candidates):
    columns = {"sample_id": [f"{user}:1"], "user_id": [user], "history": [[*history]]}
    return pl.DataFrame(columns | {"target": [target], "uni2": [[*candidates]]})


COLUMNS = {"train": ["uni2"], "validation": ["uni2"], "test": ["uni2"]}
TRAINED = pl.DataFrame({"user_id": ["x"], "items": [[*"abc"]]})


def test_a_clean_split_counts_nothing():
    made = {
        "train": table("x", "ab", "c", "cde"),
        "validation": table("y", "ab", "c", "cde"),
        "test": table("z", "b", "a", "axy"),
    }
    assert set(audit(made, TRAINED, COLUMNS).values()) == {0}


def test_every_leak_is_counted():
    made = {
        "train": table("x", "abc", "c", "dee"),  # in its history; not a candidate; one twice
        "validation": table("x", "ab", "c", "cde"),  # trained by the same user
        "test": table("x", "ab", "z", "zde"),  # never trained
    }
    told = audit(made, TRAINED, COLUMNS)
    assert told == {
        "target_in_history": 1,
        "target_not_among_candidates": 1,
        "candidates_repeated": 1,
        "validation_targets_trained_by_same_user": 1,
        "validation_targets_never_trained": 0,
        "test_targets_trained_by_same_user": 0,
        "test_targets_never_trained": 1,
        "users_in_train_and_test": 1,
    }


def test_the_fingerprint_follows_the_order_of_the_candidates():
    told = fingerprint(table("x", "a", "c", "cde"), "uni2")
    assert len(told) == 16 and told == fingerprint(table("x", "b", "d", "cde"), "uni2")
    assert told != fingerprint(table("x", "a", "c", "ced"), "uni2")


CLEAN = dict.fromkeys((*BROKEN, "test_targets_trained_by_same_user", "users_in_train_and_test"), 0)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_samples_are_refused(name):
    with pytest.raises(Refusal, match=f"{name} 2"):
        judge({**CLEAN, name: 2})


def test_targets_that_were_trained_on_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        judge({**CLEAN, "users_in_train_and_test": 9})
        assert caplog.messages == []
        judge({**CLEAN, "test_targets_trained_by_same_user": 7})
    assert "test_targets_trained_by_same_user 7" in caplog.text
