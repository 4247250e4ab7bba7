import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mllmrec.dataset import hard
from mllmrec.dataset.coded import Lists, starts
from mllmrec.dataset.hard import Cooccurring, Ranked, drawn_from, top
from mllmrec.dataset.negatives import keys
from mllmrec.dataset.split import as_published
from mllmrec.errors import Refusal
from tests.dataset import plans

# Training: x has a b, y a b c, z a d, w e; two more each are for validation and test.
PLAN = plans.plan(x="abfg", y="abcfg", z="adfg", w="efg")
TEST = PLAN.targets("test", windows="last", min_history=1)


def named(plan, lists):
    """Each list as a word of sorted letters."""
    return ["".join(sorted(words)) for words in lists.strings(plan.item_ids).to_list()]


def barred(plan, some):
    return plan.owned, plan.user[some.row]


def cosine(plan, one, other):
    """By its definition, over the training interactions."""
    own = [{*plan.items.flat[part.flat].tolist()} for part in trained(plan)]
    number = {item: place for place, item in enumerate(plan.item_ids)}
    has = [[number[item] in mine for mine in own] for item in (one, other)]
    both = sum(map(min, *has))
    return both / np.sqrt(max(sum(has[0]), 1) * max(sum(has[1]), 1))


def trained(plan):
    return [plan.trained_by(np.array([user])) for user in range(len(plan.user_ids))]


def test_cosines_by_hand():
    table = Cooccurring.of(PLAN, history_length=2, most=2).cosine.toarray()
    number = {item: place for place, item in enumerate(PLAN.item_ids)}
    assert table[number["a"], number["b"]] == pytest.approx(2 / np.sqrt(3 * 2))
    assert table[number["a"], number["d"]] == pytest.approx(1 / np.sqrt(3))
    assert (table.diagonal() == 0).all() and table[number["e"]].sum() == 0
    for one in PLAN.item_ids:
        for other in PLAN.item_ids:
            if one != other:
                expected = cosine(PLAN, one, other)
                assert table[number[one], number[other]] == pytest.approx(expected)


def test_the_most_co_occurring_with_the_history_come_first():
    made = Cooccurring.of(PLAN, history_length=3, most=1)
    # x is shown a, b, f: c goes with a and b, d with a alone; w's e and f go with nothing, so
    # that the most popular item that w does not have comes first, a; y has d or e, both at 0.
    assert named(PLAN, made.lists(TEST, *barred(PLAN, TEST))) == ["c", "d", "b", "a"]
    assert made.left(TEST, *barred(PLAN, TEST)).tolist() == [1, 1, 1, 1]
    many = Cooccurring.of(PLAN, history_length=3, most=9)
    assert named(PLAN, many.lists(TEST, *barred(PLAN, TEST))) == ["cde", "de", "bce", "abcd"]
    assert many.left(TEST, *barred(PLAN, TEST)).tolist() == [3, 2, 3, 4]


def test_an_item_in_two_lines_of_a_user_counts_once():
    rows = [("x", [*"ab"], "train"), ("x", [*"ab"], "train"), ("y", [*"ac"], "train")]
    plan = as_published(pl.DataFrame(rows, schema=["user_id", "items", "part"], orient="row"))
    table = Cooccurring.of(plan, history_length=2, most=2).cosine.toarray()
    assert table[0, 1] == pytest.approx(1 / np.sqrt(2))


@settings(max_examples=40)
@given(
    words=st.lists(st.text("abcdefgh", min_size=4, max_size=12), min_size=2, max_size=6),
    most=st.integers(1, 9),
    cells=st.sampled_from([1, 20, 1 << 23]),
)
def test_the_same_as_by_plain_loops(words, most, cells):
    own = {
        letter: "".join(dict.fromkeys(word)) for letter, word in zip("uvwxyz", words, strict=False)
    }
    plan = plans.plan(**own)
    some = plan.targets("test", windows="last", min_history=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hard, "CELLS", cells)
        lists = Cooccurring.of(plan, history_length=2, most=most).lists(some, *barred(plan, some))
    popularity = dict(zip(plan.item_ids, plan.popularity.tolist(), strict=True))
    for told, row in zip(named(plan, lists), some.row, strict=True):
        mine = own[plan.user_ids[int(row)]]
        score = {
            item: sum(cosine(plan, met, item) for met in mine[:-1][-2:])
            for item in plan.item_ids
            if item not in mine
        }
        ordered = sorted(score, key=lambda item: (-round(score[item], 9), -popularity[item], item))
        assert len(told) == min(most, len(score))
        least = round(min((score[item] for item in told), default=0), 9)
        assert {item for item in score if round(score[item], 9) > least} <= {*told}
        if len({round(value, 9) for value in score.values()}) == len(score):
            assert told == "".join(sorted(ordered[:most]))


def test_ties_go_to_the_first_columns():
    scores = np.array([[1.0, 3, 1, 2, 1], [0, 0, 0, 0, 0]])
    assert top(scores, 3).tolist() == [[1, 3, 0], [0, 1, 2]]
    assert top(scores, 9).shape == (2, 5)


def test_each_of_a_list_is_drawn_as_often_and_none_twice():
    lists = Lists(start=np.array([0, 5, 9]), flat=np.arange(9))
    key = keys(0, "hard3", [f"{number}:1" for number in range(4000)])
    drawn = drawn_from(lists.take(np.arange(4000) % 2), key, 3)
    assert all(len({*row}) == 3 for row in drawn.tolist())
    for row, items in ((0, np.arange(5)), (1, np.arange(5, 9))):
        seen = np.bincount(drawn[row::2, 0], minlength=9)[items]
        assert seen.sum() == 2000 and chisquare(seen).pvalue > 1e-3


def ranked(tmp_path, rows, most=2):
    file = tmp_path / "full.parquet"
    pl.DataFrame(rows, schema=["sample_id", "ranked"], orient="row").write_parquet(file)
    return Ranked.read(file, PLAN, most=most)


ROWS = [("x:3", [*"gdcabe"]), ("y:4", [*"eda"]), ("z:3", [*"qbecd"]), ("w:2", [*"abcd"])]


def test_the_best_of_a_users_list_without_what_is_barred(tmp_path):
    made = ranked(tmp_path, ROWS)
    assert named(PLAN, made.lists(TEST, *barred(PLAN, TEST))) == ["cd", "de", "be", "ab"]
    assert made.left(TEST, *barred(PLAN, TEST)).tolist() == [2, 2, 2, 2]
    some = PLAN.targets("validation", windows="last", min_history=1)[np.array([2, 0])]
    assert named(PLAN, made.lists(some, *barred(PLAN, some))) == ["be", "cd"]


@settings(max_examples=40)
@given(data=st.data(), cells=st.sampled_from([1, 7, 1 << 23]), most=st.integers(1, 4))
def test_the_best_are_those_of_plain_loops(data, cells, most):
    """Samples in groups of any kind, and lists that are looked at in parts."""
    some = PLAN.targets("train", windows="sliding", min_history=1)
    word = st.lists(st.integers(0, len(PLAN.item_ids) - 1), unique=True, max_size=7)
    best = data.draw(st.lists(word, min_size=4, max_size=4))
    given = data.draw(st.lists(word, min_size=1, max_size=3))
    which = st.integers(0, len(given) - 1)
    group = np.array(data.draw(st.lists(which, min_size=len(some), max_size=len(some))), int)
    made = Ranked(plan=PLAN, most=most, best=of(best))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hard, "CELLS", cells)
        lists = made.lists(some, of(given), group)
        left = made.left(some, of(given), group)
    expected = [
        [item for item in best[PLAN.user[row]] if item not in given[number]][:most]
        for row, number in zip(some.row, group, strict=True)
    ]
    assert lists.numbers().to_list() == expected
    assert left.tolist() == [*map(len, expected)]


def of(rows):
    flat = np.array([item for row in rows for item in row], np.uint32)
    return Lists(start=starts(np.array([*map(len, rows)])), flat=flat)


def test_of_a_user_who_was_ranked_twice_the_last_list_counts(tmp_path):
    made = ranked(tmp_path, [("x:2", [*"ab"]), *ROWS])
    assert named(PLAN, made.lists(TEST, *barred(PLAN, TEST)))[0] == "cd"


def test_a_user_without_a_list_is_refused(tmp_path):
    with pytest.raises(Refusal, match="1 of 4 users have no list, such as 'y'") as said:
        ranked(tmp_path, [("x:3", ["a"]), ("y:4", []), *ROWS[2:]])
    assert "prepare.hard=FILE" in said.value.do


def test_another_table_is_refused(tmp_path):
    file = tmp_path / "a.parquet"
    pl.DataFrame({"sample_id": ["x:3"]}).write_parquet(file)
    with pytest.raises(Refusal, match="cannot be read"):
        Ranked.read(file, PLAN, most=2)
