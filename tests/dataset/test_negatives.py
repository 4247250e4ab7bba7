import numpy as np
import pytest
from scipy.stats import chisquare

from mllmrec.dataset.negatives import Draw, keys, shuffled, uniforms

USERS, POOL = 400, 60


def owned(seed=0, each=10):
    rng = np.random.default_rng(seed)
    items = rng.random((USERS, POOL)).argsort(axis=1)[:, :each]
    return np.sort((np.arange(USERS)[:, None] * POOL + items).ravel())


def drawn(weights, mine, count, key=None, user=None):
    user = np.arange(USERS) if user is None else user
    key = keys(0, "uni", [f"u{number}:9" for number in user]) if key is None else key
    return Draw(weights=weights, owned=mine, count=count).negatives(key, user)


@pytest.mark.parametrize("count", [1, 9, 49, 50])  # 50 is all that a user leaves
@pytest.mark.parametrize("weights", [np.ones(POOL, int), 1 + np.arange(POOL) ** 3])
def test_no_repeat_and_nothing_owned(weights, count):
    mine = owned()
    chosen = drawn(weights, mine, count)
    assert chosen.shape == (USERS, count)
    assert all(len(set(row)) == count for row in chosen.tolist())
    assert not np.isin(np.arange(USERS)[:, None] * POOL + chosen, mine).any()


def test_another_user_changes_nobody_elses():
    mine, weights = owned(), np.ones(POOL, int)
    alone = drawn(weights, mine, 9)
    order = np.random.default_rng(1).permutation(USERS)[: USERS // 2]
    assert (drawn(weights, mine, 9, user=order) == alone[order]).all()


def test_keys_follow_seed_protocol_and_sample():
    base = keys(0, "uni9", ["a:1", "b:1"])
    assert base[0] != base[1]
    assert (keys(0, "uni9", ["b:1", "x:5", "a:1"])[[2, 0]] == base).all()
    assert (keys(1, "uni9", ["a:1", "b:1"]) != base).all()
    assert (keys(0, "pop9", ["a:1", "b:1"]) != base).all()


def test_known_numbers_so_that_no_release_moves_the_candidates():
    assert keys(0, "uni9", ["a:1"]).tolist() == [11586245299818869967]
    told = uniforms(np.array([0], np.uint64), np.arange(2))
    assert told == pytest.approx([0xE220A8397B1DCDAF / 2**64, 0x6E789E6AA1B965F4 / 2**64])


def test_uniform_draws_are_uniform():
    chosen = drawn(np.ones(POOL, int), np.array([-1]), 9, *repeated(2000))
    assert chisquare(np.bincount(chosen.ravel(), minlength=POOL)).pvalue > 1e-3


@pytest.mark.parametrize("race", [False, True])
def test_first_draw_follows_the_weights_however_it_is_made(race):
    weights = np.array([5, 0, 1, 10, 4])
    draw = Draw(weights=weights, owned=np.array([-1]), count=2)
    key, user = repeated(20000)
    if race:
        none = np.zeros((len(key), 1), bool)
        chosen = draw._race(key, user, np.zeros((len(key), 1), int), none)
    else:
        chosen = draw.negatives(key, user)
    seen = np.bincount(chosen[:, 0], minlength=5)
    assert seen[1] == 0
    kept = weights > 0
    expected = weights[kept] / weights.sum() * len(key)
    assert chisquare(seen[kept], expected).pvalue > 1e-3


def repeated(times):
    return keys(0, "any", [f"{number}:1" for number in range(times)]), np.zeros(times, int)


def test_a_very_long_tail_still_ends_and_keeps_its_order():
    weights = np.ones(POOL, int)
    weights[0] = 10**9
    chosen = drawn(weights, np.array([-1]), POOL)
    assert (np.sort(chosen, axis=1) == np.arange(POOL)).all()
    assert (chosen[:, 0] == 0).mean() > 0.99


def test_left_counts_only_what_can_be_drawn():
    draw = Draw(weights=np.array([1, 0, 2, 3]), owned=np.array([0, 1, 6]), count=1)
    assert draw.left(3).tolist() == [2, 2, 3]


def test_the_target_stands_anywhere():
    key, user = repeated(5000)
    table = shuffled(key, user, np.tile(np.arange(1, 10), (5000, 1)))
    assert (np.sort(table, axis=1) == np.arange(10)).all()
    assert chisquare(np.bincount(np.nonzero(table == 0)[1], minlength=10)).pvalue > 1e-3
