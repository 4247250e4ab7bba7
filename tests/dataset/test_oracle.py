import numpy as np
import polars as pl
import pytest

from mllmrec.dataset.oracle import oracle_metrics, oracle_scores
from tests.dataset import plans
from tests.dataset.test_candidates import pool


class Known:
    """Says that the n-th item has probability (n + 1) / 100 whatever the history."""

    def log_probability(self, histories):
        return np.log(np.tile(np.arange(1, 27) / 100, (len(histories), 1)))


LETTERS = pl.Series([*"zyxwvutsrqponmlkjihgfedcba"])  # the order of the oracle's table


def test_scores_stand_in_the_order_of_the_candidates_and_weigh_the_negatives():
    plan = plans.plan(x="abcd", y="efghia")
    some = plan.targets("test", windows="last", min_history=1)
    test = plan.described(some, 2).with_columns(
        plan.earlier(some),
        pl.Series("uni2", [["h", "d", "i"], ["b", "a", "c"]]),
        pl.Series("pop2", [["h", "d", "e"], ["b", "a", "c"]]),
    )
    told = oracle_scores(
        Known(), test, items=LETTERS, pool=pool(plan), protocols=["uni2", "pop2"]
    ).rows()
    chance = {letter: (index + 1) / 100 for index, letter in enumerate(LETTERS)}
    uniform = [np.log(chance[item] * 9) for item in "hdi"]
    assert told[0] == ("x:3", "uni2", pytest.approx(uniform))
    # a and b are trained by x, e to h by y: six interactions, of which e is one and d none
    assert told[2][2][2] == pytest.approx(np.log(chance["e"] * 6))
    assert told[2][2][1] > 20


def test_metrics_by_hand():
    test = pl.DataFrame({"target": ["a", "a"], "uni3": [[*"bacd"], [*"abcd"]]})
    scores = pl.DataFrame(
        {"protocol": ["uni3"] * 2, "scores": [[4.0, 2.0, 3.0, 1.0], [1.0, 1.0, 2.0, 3.0]]}
    )
    told = oracle_metrics(scores, test)  # ranks 3 and, as a tie counts against it, 4
    assert told == {"oracle/uni3/hr@3": 0.5, "oracle/uni3/ndcg@3": pytest.approx(0.25)}
