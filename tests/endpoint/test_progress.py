"""What work will take, said before the first call; how far it is, said where no terminal is."""

import logging
from pathlib import Path

import pytest

from mllmrec.asking import Request
from mllmrec.endpoint.budget import Price
from mllmrec.endpoint.line import Trouble
from mllmrec.endpoint.progress import Notices, Progress, estimate
from mllmrec.journal import Record, Totals
from tests.endpoint.knobs import asker

ASKED = [Request(id="a", text="x" * 400), Request(id="b", text="x" * 400)]


def test_an_estimate_says_what_it_assumes() -> None:
    text = estimate(asker("http://x"), ASKED, [])
    assert "2 calls to tiny: about 200 tokens in" in text and "at most 32 out" in text
    assert "price unknown: set endpoint.price" in text
    assert text.endswith("about 3 s (3 s a call, assumed; 8 at once)")


def test_an_estimate_knows_prices_pictures_and_times() -> None:
    known = [Record(key=k, id=k, text="t", calls=1, seconds=120.0) for k in "kl"]
    seen = [Request(id="a", text="x" * 400, pictures=(Path("a.png"),))]
    price = {"input": 1000.0, "output": 1000.0}
    text = estimate(asker("http://x", price=price, concurrency=1), seen, known)
    assert "about 109 tokens in (4 characters a token, 9 a picture)" in text  # 3 × 3 squares of 28
    assert "at most 0.125 USD" in text
    assert "about 2.0 min (1.2e+02 s a call, as calls took before; 1 at once)" in text


def test_a_line_now_and_then_where_no_terminal_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("mllmrec.progress.EVERY", 1e9)
    progress = Progress("work", 3, Price(input=1.0, output=None))
    progress.ended(Totals(tokens_in=5), is_failure=False)
    assert not caplog.messages
    monkeypatch.setattr("mllmrec.progress.EVERY", 0.0)
    progress.ended(Totals(tokens_in=5, tokens_out=2), is_failure=True)
    [line] = caplog.messages
    assert line.startswith("work: 2 of 3 records, ") and line.endswith("7 tokens, 1 failed")


def test_a_wait_is_said_now_and_then_and_a_miss_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    notices, busy = Notices("http://x"), Trouble("slow", is_fault=True, status=429, wait=2.0)
    for _ in range(16):
        notices.wait(busy)
        notices.miss(Trouble("connection failed", is_fault=True))
    monkeypatch.setattr("mllmrec.progress.EVERY", 0.0)
    notices.wait(busy)
    assert caplog.messages == [
        "the server asks to wait 2 s (429, 1 so far)",
        "no answer yet from http://x: connection failed; trying again",
        "the server asks to wait 2 s (429, 17 so far)",
    ]
