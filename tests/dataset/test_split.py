import polars as pl
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mllmrec.dataset.split import as_published, leave_one_out, temporal
from mllmrec.errors import Refusal
from tests.dataset.plans import listed, log, met

TWO = listed(x="abcdefg", y="abc")


def told(plan, split, windows="last"):
    some = plan.targets(split, windows=windows, min_history=2)
    return [(row[0], "".join(row[2]), row[3]) for row in plan.described(some, 3).rows()]


def training(plan, size=1 << 22):
    """Users and their training items, in parts of about ``size`` of these."""
    return [
        (plan.user_ids[int(user)], "".join(plan.item_ids.gather(plan.items.flat[part.flat])))
        for users, places in plan.training(size)
        for user, part in zip(users, map(places.part, range(len(users)), range(1, 99)), strict=True)
    ]


def test_leave_one_out_by_hand():
    plan = leave_one_out(TWO)
    assert told(plan, "test") == [("x:6", "def", "g"), ("y:2", "ab", "c")]
    assert told(plan, "validation") == [("x:5", "cde", "f")]  # y has one item before b
    assert told(plan, "train") == [("x:4", "bcd", "e")]
    assert training(plan) == training(plan, 1) == [("x", "abcde"), ("y", "a")]
    assert dict(zip(plan.item_ids, plan.popularity.tolist(), strict=True)) == {
        **dict.fromkeys("bcde", 1),
        **{"a": 2, "f": 0, "g": 0},
    }


def test_sliding_makes_each_training_interaction_a_target():
    expected = [("x:2", "ab", "c"), ("x:3", "abc", "d"), ("x:4", "bcd", "e")]
    assert told(leave_one_out(TWO), "train", windows="sliding") == expected
    assert told(leave_one_out(TWO), "test", windows="sliding") == told(leave_one_out(TWO), "test")


def test_users_of_one_or_two_items_give_nothing_and_harm_nobody():
    short = leave_one_out(listed(x="a", y="ab"))
    for split in ("train", "validation", "test"):
        assert told(short, split, windows="sliding") == []
    assert training(short) == []


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
    assert training(plan) == [("x", "abc"), ("y", "bc")]
    own = [plan.item_ids.gather(plan.owned.part(n, n + 1).flat).to_list() for n in (0, 1)]
    assert own == [[*"abce"], [*"bcd"]]
    assert plan.earlier(plan.targets("test", windows="last", min_history=2)).to_list() == [[*"abc"]]


CUT = "xa0 xb1 xc2 xd7 xe8 xf9 ya3 yb8 yc9 zd4 ze5 za6"  # 12: two from each end lie at 8 and 9


def test_a_temporal_split_by_hand():
    # of 12 times 0 1 2 3 4 5 6 7 8 8 9 9 the cuts are the 9th and the 11th: 8 and 9
    plan = temporal(met(log(CUT)), validation=2 / 12, test=2 / 12)
    assert training(plan) == [("x", "abcd"), ("y", "a"), ("z", "dea")]
    assert told(plan, "train") == [("x:3", "abc", "d"), ("z:2", "de", "a")]
    assert told(plan, "validation") == [("x:4", "bcd", "e")]  # y has one item before b, z none
    assert told(plan, "test") == [("x:5", "cde", "f"), ("y:2", "ab", "c")]


def test_ties_at_a_cut_all_fall_after_it():
    # of the times 1 2 5 5 5 6 7 7 the cuts are the 4th and the 8th: 5 and 7
    plan = temporal(met(log("xa1 xb5 ya2 yb5 za5 zb6 wa7 wb7")), validation=0.5, test=0.125)
    assert training(plan) == [("x", "a"), ("y", "a")]
    assert plan.places["validation"].tolist() == [1, 1, 0, -1]
    assert plan.places["test"].tolist() == [-1, -1, -1, 0]


@pytest.mark.parametrize(
    ("text", "told", "ways"),
    [
        (
            "xa1 xb5 ya2 yb5 za5 zb5 wa5 wb6",
            "the time 5, which 5 of 8",
            "prepare.temporal.test below 0.125, or"
            " prepare.temporal.validation + prepare.temporal.test above 0.8125",
        ),
        ("xa5 xb5 ya5 yb5 za5 zb6", "which 5 of 6", "prepare.temporal.test below 0.1666"),
        ("xa5 xb5 ya5", "the time 5, which 3 of 3", "interactions at more than one time"),
    ],
)
def test_two_cuts_at_one_time_are_refused(text, told, ways):
    with pytest.raises(Refusal, match=told) as said:
        temporal(met(log(text)), validation=0.25, test=0.26)
    assert "prepare.temporal.validation=0.25 and prepare.temporal.test=0.26" in said.value.wrong
    assert said.value.allowed == ways
    assert said.value.do.endswith("or prepare.split=leave_one_out")


def test_the_shares_that_the_refusal_names_would_do():
    own = met(log("xa1 xb5 ya2 yb5 za5 zb5 wa5 wb6"))
    for validation, test in ((0.25, 0.12), (0.56, 0.26)):
        plan = temporal(own, validation=validation, test=test)
        assert all((plan.places[split] > -1).any() for split in ("train", "validation", "test"))


ROWS = st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcdefgh"), st.integers(0, 9))


@settings(max_examples=50)
@given(
    rows=st.lists(ROWS, min_size=1, max_size=40),
    validation=st.floats(0.05, 0.45),
    test=st.floats(0.05, 0.45),
)
def test_nothing_shown_or_trained_is_as_young_as_a_temporal_target(rows, validation, test):
    names = {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Int64()}
    own = met(pl.DataFrame(rows, schema=names, orient="row"))
    try:
        plan = temporal(own, validation=validation, test=test)
    except Refusal:  # both cuts at one time
        reject()
    trained = [time for _, places in plan.training() for time in plan.time[places.flat]]
    for split in ("validation", "test"):
        some = plan.targets(split, windows="last", min_history=1)
        begin = plan.items.start[some.row]
        for first, target in zip(begin, begin + some.at, strict=True):
            assert plan.time[target] > max([*plan.time[first:target], *trained])


@settings(max_examples=50)
@given(
    words=st.lists(st.text("abcdefgh", min_size=1), min_size=1, max_size=6),
    least=st.integers(1, 4),
    length=st.integers(1, 5),
    windows=st.sampled_from(["last", "sliding"]),
)
def test_leave_one_out_is_that_of_plain_lists(words, least, length, windows):
    own = {f"u{n}": "".join(dict.fromkeys(word)) for n, word in enumerate(words)}
    rows = [(user, item, at) for user, word in own.items() for at, item in enumerate(word)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    plan = leave_one_out(met(frame))
    for split, behind in (("train", 3), ("validation", 2), ("test", 1)):
        expected = []
        for user, word in own.items():
            last = len(word) - behind
            first = least if windows == "sliding" and split == "train" else last
            expected += [
                (f"{user}:{at}", user, [*word[:at][-length:]], word[at])
                for at in range(first, last + 1)
                if at >= least
            ]
        some = plan.targets(split, windows=windows, min_history=least)
        assert plan.described(some, length).rows() == expected
