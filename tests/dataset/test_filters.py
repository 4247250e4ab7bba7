import polars as pl

from mllmrec.dataset.filters import k_core, sequences, without_repeats


def log(text):
    """Interactions from words such as ``ua3``: user u, item a, time 3."""
    return pl.DataFrame(
        [(word[0], word[1], int(word[2:])) for word in text.split()],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    )


def test_k_core_by_hand():
    # x holds a, b; y holds a, b, c; z holds c, d. Dropping d (met once) leaves z with c alone,
    # so z goes; then c is met once, so it goes from y; a and b stay with x and y.
    told = log("xa1 xb2 ya1 yb2 yc3 zc1 zd2")
    assert k_core(told, per_user=2, per_item=2).rows() == log("xa1 xb2 ya1 yb2").rows()


def test_without_an_item_side_only_users_count():
    assert k_core(log("xa1 xb2 yc3"), per_user=2, per_item=None).rows() == log("xa1 xb2").rows()


def test_k_core_can_leave_nobody():
    assert k_core(log("xa1 xb2 yc3"), per_user=2, per_item=2).is_empty()


def test_repeats_stay_at_their_first_time_and_are_told_apart():
    first, gone = without_repeats(log("xa9 xb2 xa1 xb2 yb3"))
    assert first.rows() == log("xb2 xa1 yb3").rows()
    assert gone == {"duplicates": 1, "repeats": 1}


def test_ties_keep_the_order_of_the_file():
    told = sequences(log("yb5 xc2 xa2 ya4 xb1"))
    assert told.rows() == [("y", ["a", "b"]), ("x", ["b", "c", "a"])]
