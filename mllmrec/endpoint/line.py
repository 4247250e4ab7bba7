"""The line to a server: one call at a time, and what each way of failing means."""

import asyncio
import email.utils
import logging
import math
import time
from typing import Any

import httpx2
import openai

from mllmrec.endpoint.heard import Heard, heard
from mllmrec.errors import Refusal
from mllmrec.redact import Scrubber

LIMIT = 429
BUSY = {LIMIT, 503}
RETRIED = {408, 409, LIMIT}  # and all from 500 on
KEY, MONEY, PLACE = {401, 403}, {402}, {404, 405}
MOST_SAID = 300  # characters of a server's own words


class Trouble(Exception):
    """A call that brought no answer; its text says why.

    ``is_fault``: the server's, so that another call may do better; otherwise it rejects this very
    request. ``wait``: the seconds that the server asks for, of all calls where it ``is_busy``; it
    ``is_limit`` that is told in time, and no fault at all. ``was_reached``: there is a server.
    """

    def __init__(
        self,
        why: str,
        *,
        is_fault: bool,
        status: int | None = None,
        wait: float | None = None,
        was_reached: bool = True,
    ) -> None:
        super().__init__(why)
        self.is_fault, self.wait, self.was_reached = is_fault, wait, was_reached
        self.status = status
        self.is_busy = status in BUSY and bool(wait)
        self.is_limit = status == LIMIT and wait is not None


class Line:
    """A client of the server at ``url``. Its own retries are off: every call is counted here."""

    def __init__(self, url: str, key: str | None, key_env: str | None) -> None:
        self.url, self.key_env = url, key_env
        self.scrub = Scrubber({"API_KEY": key or ""}).text
        self.client = openai.AsyncOpenAI(base_url=url, api_key=key or "none", max_retries=0)
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs a line a call

    async def call(self, body: dict[str, Any], asked: str, seconds: float) -> Heard:
        """One call, of at most so many seconds, whatever trickles in.

        Raises:
            Trouble: there is no answer.
            Refusal: nor will there be any to another request.
        """
        try:
            async with asyncio.timeout(seconds):
                response = await self.client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body=body,
                    options={"timeout": seconds},
                )
            return heard(response.json(), asked)
        except (openai.APITimeoutError, TimeoutError) as error:
            raise Trouble(f"no answer within {seconds:.3g} s", is_fault=True) from error
        except openai.APIStatusError as error:
            raise self.rejected(error) from error
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            why = self.scrub(f"connection failed: {error.__cause__ or error}")
            raise Trouble(why, is_fault=True, was_reached=False) from error
        except ValueError as error:  # JSON that is none, too
            raise Trouble(f"broken response: {error}", is_fault=True) from error

    def rejected(self, error: openai.APIStatusError) -> Trouble | Refusal:
        """What a status other than success means."""
        status, said = error.status_code, self.scrub(" ".join(error.message.split()))[:MOST_SAID]
        if status in KEY:
            return Refusal(
                f"endpoint.key_env={self.key_env}: the server does not take the key: {said}",
                allowed="the name of an environment variable that holds a key for this server",
                do="export NAME=KEY, and type endpoint.key_env=NAME",
            )
        if status in PLACE:
            return Refusal(
                f"endpoint.url={self.scrub(self.url)}: no such place or model there: {said}",
                allowed="the address that /chat/completions is added to, and a model served there",
                do="type endpoint.url=http://HOST:PORT/v1 endpoint.model=NAME",
            )
        if status in MONEY or error.code == "insufficient_quota":
            return Refusal(
                f"endpoint.url={self.scrub(self.url)}: the account has no credit left: {said}",
                allowed="an account that can pay",
                do="top it up and repeat the command, which goes on, or type another endpoint.url",
            )
        is_fault = status in RETRIED or status >= 500
        wait = asked_for(error.response.headers)
        return Trouble(said, is_fault=is_fault, status=status, wait=wait)


def asked_for(headers: httpx2.Headers) -> float | None:
    """The seconds to wait that a server asks for: as milliseconds, seconds or a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, moment.timestamp() - time.time())
