"""When calls may begin: at once where no wait was announced, one by one after one that was."""

import pytest

from mllmrec.endpoint.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr("mllmrec.endpoint.pace.time.monotonic", lambda: now[0])
    return now


def test_nobody_waits_where_no_wait_was_announced(clock: list[float]) -> None:
    pace = Pace(4)
    pace.answered()
    assert [pace.turn(0.5) for _ in range(3)] == [100.0] * 3


def test_a_pause_is_for_all_and_ends_one_by_one(clock: list[float]) -> None:
    pace = Pace(4)
    clock[0] = 101.0
    for _ in range(4):  # all four workers are told
        pace.pause(7.0, 100.0, 0.0)
    assert [pace.turn(0.5) for _ in range(4)] == [108.0, 109.75, 111.5, 113.25]
    pace.pause(10.0, 100.5, 1.0)  # said later, and longer: with jitter
    assert (pace.not_before, pace.gap) == (112.0, 1.75)


def test_the_gap_grows_with_each_pause_and_shrinks_with_each_answer(clock: list[float]) -> None:
    pace = Pace(4)
    gaps = []
    for wait in (8.0, 8.0, 8.0, 1.0):
        pace.pause(wait, clock[0], 0.0)
        gaps.append(pace.gap)
        clock[0] = pace.not_before
        pace.answered()
    assert gaps == pytest.approx([2.0, 3.8, 7.22, 7.859])  # the last: 6.859 and 1 more
    for _ in range(200):
        pace.answered()
    assert pace.gap < 0.001


def test_a_server_that_asks_for_too_little_is_given_more(clock: list[float]) -> None:
    pace, waits = Pace(4), []
    for _ in range(6):
        pace.pause(0.5, clock[0], 0.0)
        waits.append(pace.not_before - clock[0])
        clock[0] = pace.not_before
    pace.answered()
    pace.pause(0.5, clock[0], 0.0)
    waits.append(pace.not_before - clock[0])
    assert waits == pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 0.5])
