import hashlib
import logging
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mllmrec.dataset.audit import BROKEN, TIMED, TOLD, Audit, Fingerprint, judge, table
from mllmrec.dataset.coded import Lists
from mllmrec.dataset.split import SPLITS, as_published, leave_one_out
from mllmrec.errors import Refusal
from tests.dataset import plans
from tests.dataset.plans import log, met

# x is trained on a b, y on d e a; c and f, b and c are held out.
PLAN = plans.plan(x="abcf", y="deabc")


def lists(plan, *words):
    number = {item: place for place, item in enumerate(plan.item_ids)}
    flat = np.array([number[letter] for word in words for letter in word])
    return Lists(start=np.cumsum([0, *map(len, words)]), flat=flat)


def audited(plan, candidates, history=None):
    """The audit of all samples, each split with one list of candidates a sample."""
    audit = Audit(plan=plan, items=len(plan.item_ids))
    for split in SPLITS:
        some = plan.targets(split, windows="last", min_history=1)
        told = (history or {}).get(split) or plan.history(some, 2)
        audit.add(split, some, told, {"uni": lists(plan, *candidates[split])})
    return audit.finish(pl.Series(["A", "A", "B", "C", "C", "D"]))


GOOD = {"train": ["bd", "ab"], "validation": ["cd", "bf"], "test": ["fe", "cf"]}


def test_a_clean_split_breaks_nothing():
    told = audited(PLAN, GOOD)
    assert list(told) == [*BROKEN, *TOLD]
    assert {name: count for name, count in told.items() if count} == {
        "own_items_as_negatives": 1,  # b of y's, beside the target a
        "validation_targets_never_trained": 1,  # c
        "test_targets_never_trained": 2,
        "users_in_train_and_test": 2,
        "titles_of_several_items": 2,
    }


def test_what_is_broken_is_counted_by_sample():
    told = audited(
        PLAN,
        {"train": ["dd", "aaa"], "validation": ["cdd", "bfbf"], "test": ["fe", "ee"]},
        {"test": lists(PLAN, "fabf", "ab")},
    )
    assert told["target_in_history"] == 1
    assert told["target_not_among_candidates"] == 2
    assert told["candidates_repeated"] == 5
    assert told["own_items_as_negatives"] == 1  # e of y's, twice
    with pytest.raises(Refusal, match="target_in_history 1, target_not_among_candidates 2"):
        judge(told)


def test_times_tell_of_what_was_not_known_yet():
    # x's test target is at 5; y is trained at 4, 5 and 9, and d is as old as the item before it
    plan = leave_one_out(met(log("xa1 xb2 xc3 xd5 ya4 yb5 yc9 yd9 ye9")))
    told = audited(plan, {"train": ["bd", "cd"], "validation": ["ce", "de"], "test": ["de", "ed"]})
    assert told["trained_after_first_test_target"] == 1
    assert told["target_as_old_as_history"] == 2  # in validation and in test
    assert told["target_older_than_history"] == 0
    told = audited(
        replace(plan, time=plan.time[::-1]),
        {"train": ["bd", "cd"], "validation": ["ce", "de"], "test": ["de", "ed"]},
    )
    # backwards x has 9 9 9 5 and y 4 5 3 2 1
    assert told["target_older_than_history"] == 4
    assert told["target_as_old_as_history"] == 2


def test_targets_that_their_user_was_trained_on(caplog):
    rows = [
        ("x", [*"abc"], "train"),
        ("x", [*"dab"], "test"),  # b is in the line above
        ("y", [*"bc"], "test"),  # c is x's, not y's
        ("z", [*"ab"], "validation"),  # b is known of x
    ]
    plan = as_published(pl.DataFrame(rows, schema=["user_id", "items", "part"], orient="row"))
    told = audited(plan, {"train": ["cd"], "validation": ["bd"], "test": ["bc", "ca"]})
    assert told["test_targets_trained_by_same_user"] == 1
    assert told["validation_targets_trained_by_same_user"] == 0
    assert told["users_in_train_and_test"] == 1
    assert not {*TIMED} & told.keys()
    with caplog.at_level(logging.WARNING):
        judge(told)
    assert "test_targets_trained_by_same_user 1" in caplog.text
    caplog.clear()
    judge({**told, "test_targets_trained_by_same_user": 0})
    assert caplog.messages == []


@pytest.mark.parametrize("name", BROKEN)
def test_broken_samples_are_refused(name):
    with pytest.raises(Refusal, match=f"{name} 2"):
        judge({**dict.fromkeys((*BROKEN, *TOLD), 0), name: 2})


def test_the_table_has_a_line_a_count():
    lines = table({"target_in_history": 0, "users_in_train_and_test": 12345}).splitlines()
    assert lines == [
        "audit of leaks:",
        "       0  targets in their own history (must be 0)",
        "  12,345  users with samples in train and in test",
    ]


def test_the_fingerprint_follows_the_order_of_the_candidates_and_not_the_parts():
    def of(*parts):
        made = Fingerprint()
        for names, candidates in parts:
            made.add(pl.Series(names), pl.Series(candidates))
        return made.digits

    whole = of((["x:1", "y:2"], [[*"cde"], [*"ab"]]))
    assert whole == hashlib.sha256(b"x:1 c\x1fd\x1fe\ny:2 a\x1fb").hexdigest()[:16]
    assert whole == of((["x:1"], [[*"cde"]]), (["y:2"], [[*"ab"]]))
    assert whole != of((["x:1", "y:2"], [[*"ced"], [*"ab"]]))
