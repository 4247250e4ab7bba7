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
    pace.answered(100.0)
    assert [pace.turn(0.5) for _ in range(3)] == [0.0] * 3


def test_a_pause_is_for_all_and_ends_one_by_one(clock: list[float]) -> None:
    pace = Pace(4)
    clock[0] = 101.0
    for _ in range(4):  # all four workers are told
        pace.pause(7.0, 100.0, 0.0)
    assert [pace.turn(0.5) for _ in range(4)] == [7.0] * 4
    clock[0] = 108.0
    assert [pace.turn(0.5) for _ in range(4)] == [0.0, 1.75, 1.75, 1.75]
    clock[0] = 109.75
    assert [pace.turn(0.5) for _ in range(2)] == [0.0, 1.75]
    pace.pause(10.0, 100.5, 1.0)  # said later, and longer: with jitter
    assert (pace.not_before, pace.gap) == (120.75, 1.75)


def test_the_gap_grows_with_a_pause_after_answers(clock: list[float]) -> None:
    pace = Pace(4)
    gaps = []
    for wait in (8.0, 8.0, 8.0, 1.0):
        pace.pause(wait, clock[0], 0.0)
        gaps.append(pace.gap)
        clock[0] = pace.not_before
        pace.answered(clock[0])
    assert gaps == pytest.approx([2.0, 3.8, 7.22, 7.859])  # the last: 6.859 and 1 more


def test_the_gap_is_soon_gone_where_calls_are_answered(clock: list[float]) -> None:
    pace = Pace(1)
    pace.pause(8.0, clock[0], 0.0)
    pace.answered(clock[0] - 1)
    assert pace.gap == 8.0, "a call of before the pause tells nothing"
    clock[0] = pace.not_before
    assert pace.turn(0.5) == 0.0
    waits = []
    for _ in range(10):
        pace.answered(clock[0])
        waits.append(pace.turn(0.5))
    assert waits[2:6] == pytest.approx([6.859, 3.4295, 1.71475, 0.857375])
    assert waits[9] < 0.1


def test_a_server_that_refuses_on_is_asked_as_often_as_it_says(clock: list[float]) -> None:
    pace = Pace(4)
    for _ in range(6):
        pace.pause(0.5, clock[0], 0.0)
        assert (pace.not_before - clock[0], pace.gap) == (0.5, 0.125)
        clock[0] = pace.not_before
