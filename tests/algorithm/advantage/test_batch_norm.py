import pytest

from mllmrec.algorithm.advantage.batch_norm import BatchNorm
from tests.algorithm.batches import batch

GROUPS = {"a": ["a", "b"], "b": ["a", "c"]}


def test_rewards_are_centred_and_of_length_one():
    # mean 2, apart (1, −1, −1, 1) of length 2
    made = batch(GROUPS, rewards=[3.0, 1.0, 1.0, 3.0])
    assert BatchNorm(baseline="batch")(made).tolist() == pytest.approx([0.5, -0.5, -0.5, 0.5])


def test_the_mean_of_the_first_rows():
    # first rows 3 and 1, mean 2, apart (1, −2, −1, 2) of length √10
    made = batch(GROUPS, rewards=[3.0, 0.0, 1.0, 4.0])
    found = BatchNorm(baseline="plain")(made)
    assert found.tolist() == pytest.approx([x / 10**0.5 for x in (1, -2, -1, 2)])


def test_a_group_that_all_fail_has_a_signal_where_others_do_not():
    # mean ½, apart (½, ½, −½, −½) of length 1
    found = BatchNorm(baseline="batch")(batch(GROUPS, rewards=[1.0, 1.0, 0.0, 0.0]))
    assert found.tolist() == pytest.approx([0.5, 0.5, -0.5, -0.5])


def test_equal_rewards_have_none():
    assert BatchNorm(baseline="batch")(batch(GROUPS, rewards=[2.0] * 4)).tolist() == [0.0] * 4
