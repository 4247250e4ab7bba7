import polars as pl

from mllmrec.dataset.split import as_published, leave_one_out, samples, training_sequences

TWO = pl.DataFrame({"user_id": ["x", "y"], "items": [list("abcdefg"), list("abc")]})
KNOBS = {"windows": "last", "history_length": 3, "min_history": 2}


def told(plan, split, **over):
    table = samples(plan, split, **KNOBS | over)
    return [(row[0], "".join(row[2]), row[3]) for row in table.rows()]


def test_leave_one_out_by_hand():
    plan = leave_one_out(TWO)
    assert told(plan, "test") == [("x:6", "def", "g"), ("y:2", "ab", "c")]
    assert told(plan, "validation") == [("x:5", "cde", "f")]  # y has one item before b
    assert told(plan, "train") == [("x:4", "bcd", "e")]
    assert training_sequences(plan).rows() == [("x", list("abcde")), ("y", ["a"])]


def test_sliding_makes_each_training_interaction_a_target():
    expected = [("x:2", "ab", "c"), ("x:3", "abc", "d"), ("x:4", "bcd", "e")]
    assert told(leave_one_out(TWO), "train", windows="sliding") == expected
    assert told(leave_one_out(TWO), "test", windows="sliding") == told(leave_one_out(TWO), "test")


def test_users_of_one_or_two_items_give_nothing_and_harm_nobody():
    short = pl.DataFrame({"user_id": ["x", "y"], "items": [["a"], ["a", "b"]]})
    for split in ("train", "validation", "test"):
        assert told(leave_one_out(short), split, windows="sliding") == []
    assert training_sequences(leave_one_out(short)).is_empty()


def test_a_published_split_keeps_its_targets_and_tells_a_users_rows_apart():
    rows = pl.DataFrame(
        {
            "user_id": ["x", "y", "x"],
            "items": [list("abc"), list("bcd"), list("abce")],
            "part": ["train", "validation", "test"],
        }
    )
    plan = as_published(rows)
    assert told(plan, "train") == [("x:2", "ab", "c")]
    assert told(plan, "validation") == [("y:2", "bc", "d")]
    assert told(plan, "test") == [("x:6", "abc", "e")]
    assert training_sequences(plan).rows() == [("x", list("abc")), ("y", ["b", "c"])]
