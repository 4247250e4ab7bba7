from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmrec.algorithm.advantage.standardised import Standardised
from mllmrec.algorithm.batch import joined
from mllmrec.algorithm.group.unique_first import UniqueFirst
from tests.algorithm.batches import batch


def part(**over):
    return UniqueFirst(**{"oversample": 1.5, "refill": "repeats", "reweight": False, **over})


@pytest.mark.parametrize(
    ("oversample", "wanted", "drawn"), [(1.0, 4, 4), (1.5, 4, 6), (1.5, 5, 8), (1.7, 6, 11)]
)
def test_how_many_are_drawn(oversample, wanted, drawn):
    assert part(oversample=oversample).drawn(wanted) == drawn


def test_fewer_than_are_kept_cannot_be_drawn():
    with pytest.raises(ValidationError):
        part(oversample=0.9)


def test_distinct_answers_come_first_and_repeats_fill_up():
    # of b: c c c d c c keeps c, d, and the two repeats of c that were drawn first (rows 7, 8)
    made = batch(
        {"a": ["b", "b", "a", "c", "b", "d"], "b": ["c", "c", "c", "d", "c", "c"]},
        rewards=[float(n) for n in range(12)],
        num_generations=4,
    )
    found = part()(made)
    assert found.items == ["b", "a", "c", "d", "c", "d", "c", "c"]
    assert found.rewards.tolist() == [0, 2, 3, 5, 6, 9, 7, 8]
    assert found.owner.tolist() == [0] * 4 + [1] * 4
    assert found.multiplicity is None
    assert found.charts["group/unique_first/unique"] == 3.0  # (4 + 2) / 2
    assert found.charts["group/unique_first/kept"] == pytest.approx(8 / 12)


def test_without_repeats_groups_are_smaller():
    made = batch({"a": ["b", "b", "a"], "b": ["c", "c", "c"]}, num_generations=3)
    found = part(refill="none")(made)
    assert found.items == ["b", "a", "c"]
    assert found.sizes.tolist() == [2, 1]
    assert found.charts["group/unique_first/kept"] == pytest.approx(3 / 6)


def test_a_group_of_too_few_is_kept_whole():
    assert part()(batch({"a": ["b", "b"]}, num_generations=4)).items == ["b", "b"]


def test_texts_that_name_nothing_are_told_apart_by_their_tokens():
    found = part()(batch({"a": [None, None, "b", "c"]}, num_generations=3))
    assert found.items == [None, "b", "c"]


def test_what_is_kept_has_another_mean_and_reweighting_mends_it():
    # six draws: the hit once, b three times, c twice. Kept: b, a, c, and b once more
    made = batch({"a": ["b", "b", "a", "c", "b", "c"]}, num_generations=4)
    biased, mended = part()(made), part(reweight=True)(made)
    assert biased.items == mended.items == ["b", "a", "c", "b"]
    assert biased.mean(biased.rewards).tolist() == [0.25]
    # b stands for 3 draws in 2 rows, a for 1, c for 2
    assert mended.multiplicity.tolist() == [1.5, 1.0, 2.0, 1.5]
    assert mended.mean(mended.rewards).tolist() == pytest.approx([1 / 6])
    # squares (1/6)² × 5 + (5/6)² = 30/36, over 5 draws
    assert mended.std(mended.rewards).tolist() == pytest.approx([(1 / 6) ** 0.5])


def test_reweighted_advantages_are_those_of_all_draws():
    made = batch({"a": ["b", "b", "a", "c", "b", "c"]}, num_generations=4)
    standardised = Standardised(center="group", scale="group", epsilon=1e-4)
    whole, kept = standardised(made), standardised(part(reweight=True)(made))
    assert kept.tolist() == pytest.approx(whole[[0, 2, 3, 1]].tolist())


def test_rows_that_are_taken_put_in_or_joined_know_what_they_stand_for():
    made = part(reweight=True)(batch({"a": ["b", "b", "b", "c"]}, num_generations=3))
    assert made.multiplicity.tolist() == [1.5, 1.0, 1.5]
    assert made.take([1, 0]).counts.tolist() == [1.0, 1.5]
    assert made.put(0, "a").counts.tolist() == [1.0, 1.0, 1.5]
    assert made.multiplicity.tolist() == [1.5, 1.0, 1.5]
    plain = batch({"b": ["a"]})
    assert plain.put(0, "b").multiplicity is None
    assert joined([made, plain]).counts.tolist() == [1.5, 1.0, 1.5, 1.0]
    assert joined([plain, plain]).multiplicity is None


GROUPS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=9), max_size=4)


@settings(deadline=None, max_examples=60)
@given(groups=GROUPS, wanted=st.integers(1, 9), refill=st.sampled_from(["repeats", "none"]))
def test_whatever_is_drawn(groups, wanted, refill):
    targets = ["a", "b", "c", "d"][: len(groups)]
    drawn = dict(zip(targets, groups, strict=True))
    if not any(groups):
        return
    made = batch(drawn, num_generations=wanted)
    found = part(refill=refill, reweight=True)(made)
    for group, (before, rows) in enumerate(zip(groups, found.groups, strict=True)):
        distinct = list(dict.fromkeys(before))
        kept = [found.items[row] for row in rows]
        first = kept[: min(len(distinct), wanted)]
        assert first == distinct[:wanted]  # each distinct one, in the order of appearance
        assert len(kept) == min(len(before) if refill == "repeats" else len(distinct), wanted)
        assert not Counter(kept) - Counter(before)
        if len(distinct) <= wanted and before:  # nothing distinct is lost: all draws are told of
            counts = found.multiplicity[rows]
            assert float(counts.sum()) == pytest.approx(len(before))
            for told in ("mean", "std"):
                of_all = getattr(made, told)(made.rewards)[group].item()
                of_kept = getattr(found, told)(found.rewards)[group].item()
                assert of_kept == pytest.approx(of_all, abs=1e-5)
