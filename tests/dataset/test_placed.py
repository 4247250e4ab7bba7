"""Published candidates on our samples: each on the one with its history and target."""

import logging

import polars as pl
import pytest

from mllmrec.dataset.placed import adopted, agreed, place, whole
from mllmrec.dataset.split import SPLITS, as_published
from mllmrec.dataset.stored import Role, Stored
from mllmrec.errors import Refusal

LINES = [  # user, items, part
    ("a", ["1", "2", "3", "4"], "train"),
    ("b", ["9", "2", "3", "4"], "validation"),
    ("c", ["5", "2", "3", "4"], "train"),
    ("d", ["1", "2", "3", "6"], "train"),
    ("a", ["4", "5", "7", "8"], "test"),
]
ITEMS = [*"123456789", "x", "y"]
TRAIN, TEST = Role(split="train", negatives=2), Role(split="test", negatives=2)


@pytest.fixture
def plan():
    return as_published(pl.DataFrame(LINES, schema=["user_id", "items", "part"], orient="row"))


@pytest.fixture
def made(plan):
    return {split: whole(plan, targets(plan, split)) for split in SPLITS}


def targets(plan, split):
    return plan.targets(split, windows="last", min_history=1)


def of(target, *candidates, history=("2", "3")):
    return Stored.model_validate(
        {"prompt": "", "history_ids": [*history], "target_id": target, "candidates": candidates}
    )


def take(made, plan, stored, role=TRAIN, min_join=0.5):
    return adopted(
        made, plan, ITEMS, {"f": role}, reader=lambda file, role: stored, min_join=min_join
    )


def test_candidates_and_their_order_are_theirs_whatever_the_order_of_the_file(made, plan):
    stored = [of("6", "y", "6", "x"), of("4", "4", "x", "y"), of("4", "9", "4", "x")]
    tables, _ = take(made, plan, [*stored, of("4", "x", "5", "4")])
    assert tables["train"].select("user_id", "train").rows() == [
        ("a", ["4", "x", "y"]),
        ("c", ["x", "5", "4"]),  # the second of three that look alike is b's
        ("d", ["y", "6", "x"]),
    ]
    assert tables["train"].columns == [*made["train"].columns, "train"]
    assert tables["validation"].equals(made["validation"])
    assert tables["test"].equals(made["test"])


def test_a_longer_history_tells_users_apart(made, plan):
    stored = [
        of("4", "x", "4", "1", history=("5", "2", "3")),
        of("4", "y", "4", "9", history=("1", "2", "3")),
    ]
    tables, counts = take(made, plan, stored)
    assert tables["train"].select("user_id", "train").rows() == [
        ("a", ["y", "4", "9"]),
        ("c", ["x", "4", "1"]),
    ]
    assert counts["train/train_samples_left_out"] == 1


def test_repeats_in_their_history_are_read_as_in_the_lines(made, plan):
    tables, _ = take(made, plan, [of("6", "6", "x", "y", history=("3", "1", "2", "6", "3"))])
    assert tables["train"]["user_id"].to_list() == ["d"]


def test_negatives_of_the_users_own_are_counted_and_kept(made, plan, caplog):
    tables, counts = take(made, plan, [of("8", "x", "8", "1", history=["7"])], TEST)
    assert tables["test"]["uni2"].to_list() == [["x", "8", "1"]]  # 1 is of a's line in train.tsv
    assert counts == {"test/uni2_samples_left_out": 0, "test/uni2_with_own_items_as_negatives": 1}
    assert "uni2_with_own_items_as_negatives 1" in caplog.text


def test_samples_of_other_data_are_refused(made, plan, caplog):
    caplog.set_level(logging.INFO)
    stored = [of("6", "6", "x", "y"), of("4", "4", "x", "y", history=["8"]), of("1", "1", "x", "y")]
    with pytest.raises(Refusal, match="1 of 3 train samples of neg2") as refusal:
        take(made, plan, stored)
    assert "entry 2 (target '4', after '8')" in refusal.value.wrong
    assert "prepare.min_join=0.5" in refusal.value.allowed
    tables, _ = take(made, plan, stored, min_join=0.3)
    assert tables["train"].height == 1
    assert "join: 1 of 3 train samples of neg2 found theirs" in caplog.text
    with pytest.raises(Refusal, match="0 of 2"):
        take(made, plan, stored[1:], min_join=0.0)


def test_an_item_that_we_do_not_have_is_refused(made, plan):
    with pytest.raises(Refusal, match="entry 1, field candidates, value 'z'"):
        take(made, plan, [of("6", "6", "z", "x")])


def test_a_user_that_is_told_must_be_the_users(plan):
    rows = whole(plan, targets(plan, "train"))
    one = of("4", "4", "x", "y").model_copy(update={"user_id": "c"})
    column = place([one], TRAIN, rows, ITEMS, min_join=0.5)
    assert column.to_list() == [None, ["4", "x", "y"], None]


def test_files_for_the_same_must_agree():
    one, other = [of("6", "6", "x", "y")], [of("6", "6", "y", "x")]
    assert agreed({"f": one, "g": list(one)}) is one
    with pytest.raises(Refusal, match="f and g are for the same samples"):
        agreed({"f": one, "g": other})
