"""Reward inflation, from histories that a reader can check."""

import pytest

from mllmrec.training.inflation import inflation, is_inflated, mean_reward, summary


def look(step: int, ndcg: float, train: float | None = None, probe: float = 0.5, **more: float):
    told = {} if train is None else {"probe/train_reward": train}
    return {"step": step, "probe/ndcg@5": ndcg, "probe/reward": probe, **told, **more}


def test_the_train_reward_is_of_the_steps_since_the_last_look() -> None:
    history = [look(0, 0.5), {"step": 1, "reward": 0.2}, {"step": 2, "reward": 0.4}]
    assert mean_reward(history) == pytest.approx(0.3)
    assert mean_reward([*history, look(3, 0.5)]) is None
    assert mean_reward([]) is None


def test_inflation_is_what_train_gains_beyond_the_probe() -> None:
    looks = [look(0, 0.5), look(5, 0.5, 0.4, 0.50), look(10, 0.5, 0.7, 0.55)]
    assert inflation(looks) == pytest.approx((0.7 - 0.4) - (0.55 - 0.50))
    assert inflation(looks[:2]) is None and inflation(looks[:1]) is None


def inflated(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    """Looks of these (NDCG, RI)."""
    return [
        look(5 * place, ndcg, 0.5, **{"probe/inflation": found})
        for place, (ndcg, found) in enumerate(pairs)
    ]


def test_it_takes_so_many_looks_in_a_row() -> None:
    looks = inflated((0.5, 0), (0.5, 0.1), (0.49, 0.2), (0.48, 0.3))
    assert is_inflated(looks, 3) and not is_inflated(looks[:3], 3)
    better = inflated((0.5, 0), (0.5, 0.1), (0.6, 0.2), (0.5, 0.3))  # NDCG rose in between
    assert not is_inflated(better, 2) and is_inflated(better, 1)
    honest = inflated((0.5, 0), (0.5, -0.1), (0.49, -0.1), (0.48, 0.0))  # reward did not
    assert not is_inflated(honest, 1)


def test_looks_without_a_train_reward_are_passed_over():
    """`probe.every` below `logging_steps`: every second look knows no reward since the last."""
    looks = inflated((0.6, 0), (0.5, 0.4), (0.5, 0), (0.4, 0.6))
    for place in (0, 2):
        del looks[place]["probe/inflation"]
    assert is_inflated(looks, 2) and not is_inflated(looks[:3], 2)


def test_the_summary_is_one_line_of_what_was_seen() -> None:
    looks = [look(0, 0.5), look(5, 0.6, 0.4), look(10, 0.55, 0.7, **{"probe/inflation": 0.3})]
    told = summary(looks)
    assert "NDCG@5 0.5000 → 0.5500, best 0.6000 at step 5" in told
    assert "train reward 0.400 → 0.700" in told and "reward inflation +0.300" in told
    assert summary([{"step": 0, "probe/ndcg@5": 0.5}]).startswith("NDCG@5 0.5000")
