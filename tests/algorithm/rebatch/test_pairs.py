"""The best rows of a group with its worst, in numbers and for any advantages."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmrec.algorithm.rebatch.pairs import Pairs, paired
from tests.algorithm.batches import ANSWERS, batch

PAIRS = Pairs(keep=0.5, cap_contrast=False)


def made_of(*groups):
    """A batch whose groups have these advantages."""
    targets = dict(zip(ANSWERS, groups, strict=False))
    items = {target: ["a"] * len(group) for target, group in targets.items()}
    return batch(items, advantages=[x for group in groups for x in group])


def left(found):
    return [[found.advantages[row].item() for row in rows] for rows in found.groups]


def told(found):
    return {name.removeprefix("rebatch/pairs/"): value for name, value in found.charts.items()}


def test_the_example_of_the_docstring():
    made = made_of([2.0, -1.0, 0.0, -2.0, 1.0, 0.0])
    assert paired(made).groups == [[(0, 3), (4, 1), (2, 5)]]
    found = PAIRS(made)
    assert left(found) == [[2, -2]]
    assert told(found) == {
        **{"kept": 1 / 3, "without_partner": 0, "without_contrast": 0, "none_left": 0}
    }


def test_rows_stay_in_their_order_with_the_advantages_of_the_whole_group():
    found = Pairs(keep=0.67, cap_contrast=False)(made_of([0.0, 1.0, -1.0, 2.0, 0.0, -2.0]))
    assert left(found) == [[1, -1, 2, -2]]


def test_a_middle_row_has_no_partner():
    """3 rows: (5, −4) stays, 1 goes; one row alone goes."""
    found = Pairs(keep=1.0, cap_contrast=False)(made_of([5.0, 1.0, -4.0], [1.0]))
    assert left(found) == [[5, -4], []]
    assert told(found)["without_partner"] == 2 and told(found)["kept"] == 0.5


@pytest.mark.parametrize(("hits", "pairs"), [(0, 0), (1, 1), (3, 3), (4, 4), (6, 2), (8, 0)])
def test_as_many_pairs_have_contrast_as_the_rarer_reward_has_rows(hits, pairs):
    """Of 8 rows with h hits min(h, 8 − h) pairs; beside them a group that has some."""
    binary = [1.0] * hits + [0.0] * (8 - hits)
    made = made_of(binary, [1.0, -1.0])
    found = Pairs(keep=1.0, cap_contrast=True)(made)
    assert found.sizes.tolist() == [2 * pairs, 2]
    assert told(found)["without_contrast"] == 4 - pairs
    assert Pairs(keep=1.0, cap_contrast=False)(made).sizes.tolist() == [8, 2]


def test_the_share_is_taken_before_pairs_without_contrast_go():
    found = Pairs(keep=0.5, cap_contrast=True)(made_of([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    assert left(found) == [[1, 0]] and told(found)["without_contrast"] == 1


def test_one_pair_stays_at_least():
    assert Pairs(keep=0.01, cap_contrast=False)(made_of([1.0, 0.0, -1.0, 0.0])).sizes == 2


def test_a_step_without_any_contrast_stays_as_it_is():
    made = made_of([0.0, 0.0], [1.0, 1.0])
    found = Pairs(keep=0.5, cap_contrast=True)(made)
    assert found is made
    assert told(found) == {
        **{"kept": 1, "without_partner": 0, "without_contrast": 2, "none_left": 1}
    }


def test_advantages_by_token_count_by_their_mean_over_the_tokens():
    """c: (4 + 0) / 2 = 2; d: 6 / 4 = 1.5; what is behind the end of c does not count."""
    made = batch({"c": ["c", "d"]})
    table = made.mask.new_tensor([[4.0, 0.0, 99.0, 99.0], [6.0, 0.0, 0.0, 0.0]])
    found = paired(replace(made, advantages=table))
    assert found.values == [2, 1.5] and found.groups == [[(0, 1)]]


GROUPS = st.lists(
    st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=9), min_size=1, max_size=4
)


@settings(max_examples=40, deadline=None)
@given(groups=GROUPS)
def test_pairs_hold_every_row_but_a_middle_one_once_and_the_most_apart_first(groups):
    made = made_of(*groups)
    found = paired(made)
    for rows, pairs in zip(made.groups, found.groups, strict=True):
        used = [row for pair in pairs for row in pair]
        assert len(used) == len(set(used)) == len(rows) // 2 * 2 and set(used) <= set(rows)
        apart = [found.values[better] - found.values[worse] for better, worse in pairs]
        assert apart == sorted(apart, reverse=True) and min(apart, default=0) >= 0
        # no other pairing has more contrast: the upper half against the lower half
        values = sorted(found.values[row] for row in rows)
        half = len(values) // 2
        assert sum(apart) == sum(values[len(values) - half :]) - sum(values[:half])
    assert found.left == sum(len(group) % 2 for group in groups)


@settings(max_examples=40, deadline=None)
@given(groups=GROUPS, keep=st.floats(0.05, 1), capped=st.booleans())
def test_what_is_left_is_paired_as_it_was(groups, keep, capped):
    """So that ``shuffle`` needs no word from here about the pairs."""
    made = made_of(*groups)
    found = Pairs(keep=keep, cap_contrast=capped)(made)
    if found is made:
        return
    kept = []
    for pairs in paired(made).groups:
        few = pairs[: max(1, int(keep * len(pairs) + 1e-9))]
        values = made.advantages.tolist()
        kept.append([p for p in few if not capped or values[p[0]] > values[p[1]]])
    rows = sorted(row for pairs in kept for pair in pairs for row in pair)
    again = [[(rows[a], rows[b]) for a, b in pairs] for pairs in paired(found).groups]
    assert again == kept
    assert len(found) == len(rows)
