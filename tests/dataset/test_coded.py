import numpy as np
import polars as pl
import pytest

from mllmrec.dataset.coded import Lists, chunks, counted, encoded, gathered, spans
from tests.dataset.plans import log


def test_numbers_are_those_of_sorted_items_whatever_the_frames():
    whole = log("yb5 xc2 xa2 ya4 é12")
    one, two = encoded([whole]), encoded([whole[:1], whole[1:1], whole[1:]])
    assert one.item_ids.to_list() == ["1", "a", "b", "c"]
    for made in (one, two):
        assert made.item_ids.gather(made.item).to_list() == whole["item_id"].to_list()
        assert made.user_ids.gather(made.user).to_list() == whole["user_id"].to_list()
        assert made.time.tolist() == whole["timestamp"].to_list()
    assert one.item.tolist() == two.item.tolist() and one.item.dtype == np.uint32


def test_an_empty_field_is_no_interaction():
    with pytest.raises(ValueError, match="empty fields"):
        encoded([log("xa1").with_columns(item_id=pl.lit(None, pl.String))])


def test_two_loads_do_not_share_their_numbers():
    assert encoded([log("xb1")]).item_ids.to_list() == ["b"]
    assert encoded([log("xa1")]).item_ids.to_list() == ["a"]


LISTS = Lists(start=np.array([0, 2, 2, 5]), flat=np.array([7, 8, 4, 5, 6]))


def test_lists():
    assert LISTS.length.tolist() == [2, 0, 3] and len(LISTS) == 3
    assert LISTS.owner.tolist() == [0, 0, 2, 2, 2]
    taken = LISTS.take(np.array([2, 1, 2]))
    assert (taken.start.tolist(), taken.flat.tolist()) == ([0, 3, 3, 6], [4, 5, 6] * 2)
    part = LISTS.part(1, 3)
    assert (part.start.tolist(), part.flat.tolist()) == ([0, 0, 3], [4, 5, 6])
    ids = pl.Series([*"abcdefghi"])
    assert LISTS.strings(ids).to_list() == [["h", "i"], [], ["e", "f", "g"]]
    assert LISTS.strings(ids).dtype == pl.List(pl.String)
    assert LISTS.numbers().to_list() == [[7, 8], [], [4, 5, 6]]
    assert Lists.of(np.array([[1, 2], [3, 4]])).take(np.array([1])).flat.tolist() == [3, 4]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_chunks_cover_all_lists_once(size):
    found = list(chunks(LISTS.start, size))
    assert [begin for begin, _ in found] == [0, *[end for _, end in found[:-1]]]
    assert found[-1][1] == 3 and all(end > begin for begin, end in found)
    assert list(chunks(np.array([0]), size)) == []


def test_runs_and_counts():
    assert spans(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert counted(np.array([2, 0, 2], np.uint32), 4).tolist() == [1, 0, 2, 0]
    assert gathered(np.array([5, 6]), np.array([1, 1, 0])).tolist() == [6, 6, 5]
