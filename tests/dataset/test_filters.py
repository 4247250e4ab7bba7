import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.dataset import coded, filters
from mllmrec.dataset.coded import encoded
from mllmrec.dataset.filters import by_user, k_core, sequences, without_repeats
from tests.dataset.plans import core, log, met, told


def test_k_core_by_hand():
    # x holds a, b; y holds a, b, c; z holds c, d. Dropping d (met once) leaves z with c alone,
    # so z goes; then c is met once, so it goes from y; a and b stay with x and y.
    left = core(log("xa1 xb2 ya1 yb2 yc3 zc1 zd2"), per_user=2, per_item=2)
    assert told(left) == [("x", "ab", [1, 2]), ("y", "ab", [1, 2])]
    assert left.item_ids.to_list() == ["a", "b"]


def test_without_an_item_side_only_users_count():
    assert told(core(log("xa1 xb2 yc3"), per_user=2, per_item=None)) == [("x", "ab", [1, 2])]


def test_k_core_can_leave_nobody():
    left = k_core(by_user(encoded([log("xa1 xb2 yc3")])), per_user=2, per_item=2)
    assert left.size == 0 and told(sequences(left)) == []


def test_repeats_stay_at_their_first_time_and_are_told_apart():
    first, gone = without_repeats(by_user(encoded([log("xa9 xb2 xa1 xb2 yb3")])))
    assert told(sequences(first)) == [("x", "ab", [1, 2]), ("y", "b", [3])]
    assert gone == {"duplicates": 1, "repeats": 1}


def test_ties_keep_the_order_of_the_file():
    assert told(met(log("yb5 xc2 xa2 ya4 xb1"))) == [("y", "ab", [4, 5]), ("x", "bca", [1, 2, 2])]


def test_users_stand_in_the_order_of_the_first_row_that_is_left():
    # x's first row is a repeat of one with an earlier time, further down
    assert told(met(log("xa9 yb1 xa2"))) == [("y", "b", [1]), ("x", "a", [2])]


def test_no_interaction_at_all():
    assert told(met()) == [] and told(met(log("xa1").clear())) == []


WORDS = st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdefg"), st.integers(-2, 6))


def plain(rows, per_user, per_item):
    """The same by loops: what was left out, and the sequences."""
    distinct = list(dict.fromkeys(rows))
    first = {}
    for place, (user, item, time) in enumerate(distinct):
        first[user, item] = min(first.get((user, item), (time, place)), (time, place))
    kept = [row for place, row in enumerate(distinct) if first[row[:2]] == (row[2], place)]
    gone = {"duplicates": len(rows) - len(distinct), "repeats": len(distinct) - len(kept)}
    while True:
        users, items = [row[0] for row in kept], [row[1] for row in kept]
        left = [
            row
            for row in kept
            if users.count(row[0]) >= per_user and items.count(row[1]) >= (per_item or 1)
        ]
        if left == kept:
            break
        kept = left
    by_users = {}
    for row in kept:
        by_users.setdefault(row[0], []).append(row)
    ordered = [(user, sorted(own, key=lambda row: row[2])) for user, own in by_users.items()]
    return gone, [
        (user, "".join(row[1] for row in own), [row[2] for row in own]) for user, own in ordered
    ]


@settings(max_examples=60)
@given(
    rows=st.lists(WORDS, max_size=60),
    cut=st.integers(0, 60),
    per_user=st.integers(1, 3),
    per_item=st.none() | st.integers(1, 3),
    chunk=st.sampled_from([1, 3, 1 << 22]),
)
def test_the_same_as_by_plain_loops(rows, cut, per_user, per_item, chunk):
    names = {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Int64()}
    frame = pl.DataFrame(rows, schema=names, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coded, "CHUNK", chunk)
        patch.setattr(filters, "chunks", lambda start: coded.chunks(start, chunk))
        first, gone = without_repeats(by_user(encoded([frame[:cut], frame[cut:]])))
        left = sequences(k_core(first, per_user=per_user, per_item=per_item))
    assert (gone, told(left)) == plain(rows, per_user, per_item)
    assert left.item_ids.to_list() == sorted({item for _, items, _ in told(left) for item in items})
