import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mllmrec.dataset import negatives
from mllmrec.dataset.coded import Lists
from mllmrec.dataset.negatives import RACE, Draw, Mine, keys, shuffled, uniforms

USERS, POOL = 400, 60


NOTHING = Lists(start=np.zeros(USERS + 1, int), flat=np.empty(0, int))


def owned(seed=0, each=10):
    rng = np.random.default_rng(seed)
    return Lists.of(rng.random((USERS, POOL)).argsort(axis=1)[:, :each])


def drawn(weights, mine, count, key=None, user=None):
    user = np.arange(USERS) if user is None else user
    key = keys(0, "uni", [f"u{number}:9" for number in user]) if key is None else key
    return Draw(weights=weights, barred=mine, count=count).negatives(key, user)


def matrix(lists):
    return lists.flat.reshape(len(lists), -1).tolist()


@pytest.mark.parametrize("count", [1, 9, 49, 50])  # 50 is all that a user leaves
@pytest.mark.parametrize("weights", [np.ones(POOL, int), 1 + np.arange(POOL) ** 3])
def test_no_repeat_and_nothing_owned(weights, count):
    mine = owned()
    chosen = drawn(weights, mine, count)
    assert chosen.shape == (USERS, count)
    assert all(len(set(row)) == count for row in chosen.tolist())
    assert all(set(row).isdisjoint(own) for row, own in zip(chosen, matrix(mine), strict=True))


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
    chosen = drawn(np.ones(POOL, int), NOTHING, 9, *repeated(2000))
    assert chisquare(np.bincount(chosen.ravel(), minlength=POOL)).pvalue > 1e-3


@pytest.mark.parametrize("race", [False, True])
def test_first_draw_follows_the_weights_however_it_is_made(race):
    weights = np.array([5, 0, 1, 10, 4])
    draw = Draw(weights=weights, barred=NOTHING, count=2)
    key, user = repeated(20000)
    if race:
        none = np.zeros((len(key), 1), bool)
        mine = Mine.of(NOTHING, user, len(weights))
        chosen = draw._race(key, mine, user, np.zeros((len(key), 1), int), none)
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
    chosen = drawn(weights, NOTHING, POOL)
    assert (np.sort(chosen, axis=1) == np.arange(POOL)).all()
    assert (chosen[:, 0] == 0).mean() > 0.99


def test_left_counts_only_what_can_be_drawn():
    mine = Lists(start=np.array([0, 2, 3, 3]), flat=np.array([0, 1, 2]))
    draw = Draw(weights=np.array([1, 0, 2, 3]), barred=mine, count=1)
    assert draw.left().tolist() == [2, 2, 3]


def by_loops(weights, mine, count, key):
    """One sample's negatives, number by number: the draws in turn, then the race."""
    reach, total, chosen = np.cumsum(weights), int(sum(weights)), []
    for counter in range(2 * count + 16):
        aim = int(float(uniforms(np.array([key]), np.array([counter]))[0]) * total)
        item = next(item for item, end in enumerate(reach) if aim < end)
        if item not in mine and item not in chosen:
            chosen.append(item)
    rest = [item for item, weight in enumerate(weights) if weight and item not in (*mine, *chosen)]
    chance = uniforms(np.array([key]), RACE + np.array(rest, np.uint64))
    clock = -np.log1p(-chance) / np.array([weights[item] for item in rest])
    return (chosen + [rest[place] for place in np.argsort(clock)])[:count]


@settings(max_examples=40)
@given(
    weights=st.lists(st.sampled_from([0, 1, 1, 2, 5000]), min_size=6, max_size=30),
    barred=st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=4),
    count=st.integers(1, 20),
    samples=st.integers(1, 12),
    sizes=st.sampled_from([(4096, 1 << 23), (5, 60)]),
)
def test_the_same_as_by_plain_loops(weights, barred, count, samples, sizes):
    length = [len(own) for own in barred]
    flat = np.array([item for own in barred for item in own], int)
    lists = Lists(start=np.cumsum([0, *length]), flat=flat)
    draw = Draw(weights=np.array(weights), barred=lists, count=count)
    group = np.arange(samples) % len(barred)
    if draw.left()[group].min() < count:
        return
    key = keys(1, "any", [f"u:{number}" for number in range(samples)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(negatives, "CHUNK", sizes[0])
        patch.setattr(negatives, "CELLS", sizes[1])
        chosen = draw.negatives(key, group).tolist()
    expected = [
        by_loops(weights, barred[who], count, one) for one, who in zip(key, group, strict=True)
    ]
    assert chosen == expected


def test_the_target_stands_anywhere():
    key, user = repeated(5000)
    table = shuffled(key, user, np.tile(np.arange(1, 10), (5000, 1)))
    assert (np.sort(table, axis=1) == np.arange(10)).all()
    assert chisquare(np.bincount(np.nonzero(table == 0)[1], minlength=10)).pvalue > 1e-3
