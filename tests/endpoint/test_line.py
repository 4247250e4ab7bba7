"""What each way of failing means, and how long a server asks to wait."""

import asyncio
import time
from email.utils import formatdate

import httpx2
import pytest

from mllmrec.endpoint.line import Line, Trouble, asked_for
from mllmrec.errors import Refusal
from tests.bad_server import BadServer, Said, completion, failed, faulty


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After-Ms": "250", "Retry-After": "3"}, 0.25),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "-4"}, None),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
    ],
)
def test_the_wait_that_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_for(httpx2.Headers(headers)) == seconds


def test_a_wait_until_a_date() -> None:
    date = formatdate(time.time() + 60, usegmt=True)
    assert 55 < (asked_for(httpx2.Headers({"Retry-After": date})) or 0) <= 60


def called(said: Said, seconds: float = 2.0) -> object:
    async def call(url: str) -> object:
        line = Line(url, None, None)
        async with line.client:
            return await line.call({"model": "m", "messages": [{"content": "hi"}]}, "hi", seconds)

    with BadServer(lambda call: said).running() as server:
        return asyncio.run(call(server.url))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        *[(failed(status, "later"), "later") for status in (408, 409, 429, 500, 502, 503, 504)],
        (faulty("cut"), "connection failed"),
        (faulty("broken"), "broken response"),
        (Said(body={"choices": []}), "without choices"),
        (Said(body=b"<html>Welcome</html>"), "broken response"),
        (Said(body=b""), "broken response"),
    ],
)
def test_faults_of_the_server_may_pass(said: Said, why: str) -> None:
    with pytest.raises(Trouble, match=why) as trouble:
        called(said)
    assert trouble.value.is_fault
    assert trouble.value.was_reached == (why != "connection failed")


def test_a_server_that_hangs_is_left() -> None:
    began = time.monotonic()
    with pytest.raises(Trouble, match=r"no answer within 0\.3 s") as trouble:
        called(faulty("hang"), seconds=0.3)
    assert trouble.value.is_fault and time.monotonic() - began < 3


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_rejection_is_the_requests_own(status: int) -> None:
    with pytest.raises(Trouble, match="too long") as trouble:
        called(failed(status, "too long"))
    assert not trouble.value.is_fault


@pytest.mark.parametrize(
    ("said", "knob"),
    [
        (failed(401, "who are you"), "endpoint.key_env"),
        (failed(403, "not you"), "endpoint.key_env"),
        (failed(404, "no model m"), "endpoint.url"),
        (failed(402, "pay"), "endpoint.url"),
        (Said(status=429, body={"error": {"code": "insufficient_quota"}}), "no credit left"),
    ],
)
def test_what_holds_for_every_request_is_refused(said: Said, knob: str) -> None:
    with pytest.raises(Refusal, match=knob):
        called(said)


def test_an_answer_that_trickles_in_is_bounded_as_a_whole() -> None:
    with pytest.raises(Trouble, match="no answer within"):
        called(Said(body=completion("slow"), trickle=0.05), seconds=0.6)
