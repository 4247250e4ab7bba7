"""Bars of long jobs: lines in a log now and then, and times as people say them."""

import logging

import pytest

from mllmrec import progress
from mllmrec.progress import Bar, lasting


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3600, "60 min"),
        (7200, "2.0 h"),
        (90000, "25.0 h"),
    ],
)
def test_a_time_as_people_say_it(seconds, said):
    assert lasting(seconds) == said


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests turn, and a log in which every step is told."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "EVERY", 0.0)
    return now


def test_a_log_tells_rate_and_time_left(clock, caplog, capsys):
    caplog.set_level(logging.INFO)
    with Bar("captions", 300, "picture") as bar:
        clock[0] = 10.0
        bar.step(100, "2 failed")
        clock[0] = 30.0
        bar.step(200)
    assert caplog.messages == [
        "captions: 100 of 300 pictures, 10 a second, 20 s left, 2 failed",
        "captions: 300 of 300 pictures, 10 a second",
    ]
    assert capsys.readouterr().err == ""


def test_where_nobody_knows_the_total_what_is_done_is_told(clock, caplog):
    caplog.set_level(logging.INFO)
    with Bar("read", None, "interaction") as bar:
        clock[0] = 4.0
        bar.step(1000)
    assert caplog.messages == ["read: 1000 interactions, 250 a second"]


def test_a_log_is_told_seldom(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    with Bar("rows", 3, "sample") as bar:
        bar.step(3)
    assert caplog.messages == []
