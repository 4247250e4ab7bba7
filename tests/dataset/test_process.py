from itertools import pairwise, product

import numpy as np
import pytest

from mllmrec.dataset.process import KINDS, Process

FOUR = Process(
    genre=np.array([0, 0, 1, 1]),
    style=np.array([0, 1, 0, 1]),
    weight=np.array([1.0, 0.5, 0.3, 0.2]),
    genre_pull=1.5,
    style_pull=2.0,
    stay=0.7,
)


def chance(process, genre, styles, items):
    """p(items | favourite genre, style at each step), by the formula, one item at a time."""
    total, unseen = 1.0, set(range(len(process.weight)))
    for style, item in zip(styles, items, strict=True):
        like = {
            other: process.weight[other]
            * np.exp(process.genre_pull * (process.genre[other] == genre))
            * np.exp(process.style_pull * (process.style[other] == style))
            for other in unseen
        }
        total *= like[item] / sum(like.values())
        unseen.remove(item)
    return total


def brute_force(process, items):
    """p(items), summed over every genre and every path of styles."""
    total = 0.0
    for genre, styles in product(range(KINDS), product(range(KINDS), repeat=len(items))):
        path = KINDS**-2.0
        for old, new in pairwise(styles):
            path *= process.stay * (old == new) + (1 - process.stay) / KINDS
        total += path * chance(process, genre, styles, items)
    return total


@pytest.mark.parametrize("history", [[], [2], [2, 1]])
def test_the_filter_equals_brute_force(history):
    padded = np.array([history + [-1] * (2 - len(history))])
    told = np.exp(FOUR.log_next(padded))[0]
    whole = brute_force(FOUR, history) if history else 1.0
    for item in set(range(4)) - set(history):
        assert told[item] == pytest.approx(brute_force(FOUR, [*history, item]) / whole)
    assert told[history] == pytest.approx(0)
    assert told.sum() == pytest.approx(1)


def test_ragged_histories_do_not_touch_one_another():
    both = FOUR.log_next(np.array([[2, 1, 3], [0, -1, -1]]))
    assert both[1] == pytest.approx(FOUR.log_next(np.array([[0]]))[0])


def test_draws_follow_the_process():
    drawn = FOUR.draw(np.full(4000, 3), np.random.default_rng(0))
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    for pair in ([0, 1], [0, 2], [3, 1]):
        share = (drawn[:, :2] == pair).all(axis=1).mean()
        expected = brute_force(FOUR, pair)
        assert share == pytest.approx(expected, abs=4 * (expected / 4000) ** 0.5)


def test_lengths_are_kept():
    drawn = FOUR.draw(np.array([1, 4, 2]), np.random.default_rng(0))
    assert (drawn >= 0).sum(axis=1).tolist() == [1, 4, 2]
