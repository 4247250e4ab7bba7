"""What is heard of a list, line by line."""

import polars as pl
import pytest

from mllmrec.policy.listing import LISTS, Heard, hear, rates
from mllmrec.ranking import MISSED

TITLES = {"1": "Heat", "2": "Alien", "3": "Up", "9": "Jaws"}


def heard(text):
    """What is heard by candidates 1, 2, 3 and target 2: (ranked, rank, lines, and the faults)."""
    one = hear(text, ["1", "2", "3"], "2", TITLES)
    assert one.text == text
    return one.ranked, one.rank, one.lines, (one.invalid, one.repeated, one.outside)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ITEM_2]", (["2"], 1, 1, (0, 0, 0))),
        ("[ITEM_1] Heat\n[ITEM_2] Alien", (["1", "2"], 2, 2, (0, 0, 0))),
        ("[ITEM_9]\n[ITEM_0]\n[ITEM_2]", (["9", "0", "2"], 3, 3, (0, 0, 2))),
        ("[ITEM_1]\n[ITEM_1]\n[ITEM_2]\n[ITEM_2]", (["1", "1", "2", "2"], 3, 4, (0, 2, 0))),
        ("[ITEM_1] Up\nthen\n[ITEM_2]", (["2"], 1, 3, (2, 0, 0))),
        ("[ITEM_2] Heat\n[ITEM_3]", (["3"], MISSED, 2, (1, 0, 0))),
        ("[ITEM_9]\n[ITEM_9]", (["9", "9"], MISSED, 2, (0, 1, 2))),
        ("1. [ITEM_2]", ([], MISSED, 1, (1, 0, 0))),
        ("[ITEM_2]\n[ITEM_3]</think>[ITEM_1]\n[ITEM_", (["1"], MISSED, 2, (1, 0, 0))),
        (" \n", ([], MISSED, 0, (0, 0, 0))),
    ],
    ids=[
        *("one", "places", "strangers take places", "repeats take places"),
        *("malformed lines take none", "a wrong title", "a stranger twice", "a number before it"),
        *("after thinking, cut off", "blank"),
    ],
)
def test_lists(text, said):
    assert heard(text) == said


def table(*texts):
    lists = [hear(text, ["1", "2", "3"], "2", TITLES) for text in texts]
    return pl.DataFrame([vars(one) for one in lists], schema=LISTS)


def test_rates_are_of_all_lines_and_of_all_samples():
    """Eight lines, not the mean of the samples' shares."""
    told = rates(table("[ITEM_2]", "?", "[ITEM_1]\n[ITEM_1]\n[ITEM_9]\n[ITEM_9]\n?\n[ITEM_3]"))
    assert told == {"invalid": 2 / 8, "repeated": 2 / 8, "outside": 2 / 8, "empty": 1 / 3}


def test_nothing_written_is_empty_and_nothing_else():
    assert rates(table("", "\n")) == {"invalid": 0, "repeated": 0, "outside": 0, "empty": 1}


def test_the_columns_are_those_that_are_heard():
    assert list(LISTS) == list(Heard.__dataclass_fields__)
