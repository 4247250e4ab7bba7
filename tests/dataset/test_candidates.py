import polars as pl
import pytest

from mllmrec.dataset.candidates import Pool
from mllmrec.dataset.split import leave_one_out, samples
from mllmrec.errors import Refusal

PLAN = leave_one_out(
    pl.DataFrame({"user_id": ["y", "x"], "items": [list("abcdefg"), list("hijklab")]})
)
TEST = samples(PLAN, "test", windows="last", history_length=3, min_history=1)


def test_the_pool_is_what_occurs_and_counts_only_training():
    pool = Pool.of(PLAN)
    assert "".join(pool.item_ids) == "abcdefghijkl" and pool.size == 12
    assert pool.trained.tolist() == [1] * 5 + [0, 0] + [1] * 5
    assert len(pool.owned) == 14


def test_candidates_hold_the_target_once_and_no_item_of_the_users_own():
    told = Pool.of(PLAN).candidates(TEST, "uni5", seed=0)
    for listed, target, mine in zip(told, TEST["target"], PLAN["items"], strict=True):
        assert len(set(listed)) == len(listed) == 6
        assert set(listed) & set(mine) == {target}


def test_popularity_draws_only_what_was_trained():
    told = Pool.of(PLAN).candidates(TEST, "pop3", seed=0)
    assert not set("fg") & set(told[1]) - {TEST["target"][1]}


def test_fewer_items_than_candidates():
    with pytest.raises(Refusal, match=r"uni9 needs 9 negatives, but user 'y' leaves 5 of") as told:
        Pool.of(PLAN).candidates(TEST, "uni9", seed=0)
    assert "prepare.protocols=[uni5] prepare.train_protocol=uni5" in told.value.do
