"""What the work will take, said before the first call; how far it is, said while it goes on."""

import logging
import sys
import time
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from mllmrec.asking import Request
from mllmrec.endpoint.budget import Price
from mllmrec.endpoint.heard import CHARS_A_TOKEN, tokens_of
from mllmrec.journal import Totals

if TYPE_CHECKING:
    from mllmrec.endpoint.server import Server
    from mllmrec.journal import Journal

log = logging.getLogger(__name__)

EVERY = 15.0  # seconds between two lines, where there is no terminal
PIXELS_A_TOKEN = 28  # a token a square of so many pixels, as vision models of the day have it
SECONDS_A_CALL = 3.0  # assumed where no call was timed yet


def tokens_of_picture(longest: int) -> int:
    """About how many tokens a square picture takes."""
    side: int = -(-longest // PIXELS_A_TOKEN)
    return side * side


def estimate(server: "Server", requests: list[Request], journal: "Journal") -> str:
    """One sentence on what these requests will take, with what was assumed.

    Calls that must be made again are not foreseen.
    """
    a_picture, shown = (
        tokens_of_picture(server.picture_size),
        sum(len(r.pictures) for r in requests),
    )
    into = sum(tokens_of(request.text) for request in requests) + shown * a_picture
    out = len(requests) * server.max_tokens
    usd = server.price.of(into, out)
    cost = "price unknown: set endpoint.price" if usd is None else f"at most {usd:.4g} USD"
    timed = journal.spent if journal.spent.calls else journal.known
    each = timed.seconds / timed.calls if timed.calls else SECONDS_A_CALL
    source = "as calls took before" if timed.calls else "assumed"
    minutes = each * len(requests) / server.concurrency / 60
    pictures = f", {a_picture} a picture" if shown else ""
    return (
        f"{len(requests)} calls to {server.model}: about {into} tokens in "
        f"({CHARS_A_TOKEN} characters a token{pictures}), at most {out} out, {cost}, about "
        f"{minutes:.1f} min ({each:.2g} s a call, {source}; {server.concurrency} at once)"
    )


class Progress:
    """A bar on a terminal; elsewhere a line in the log now and then."""

    def __init__(self, label: str, total: int, price: Price) -> None:
        self.label, self.total, self.price = label, total, price
        self.done, self.failed, self.began = 0, 0, time.monotonic()
        self.told = self.began
        self.bar = tqdm(total=total, desc=label, unit="record", disable=not sys.stderr.isatty())

    def step(self, spent: Totals, *, is_failure: bool) -> None:
        """One record more has come to its end."""
        self.done += 1
        self.failed += is_failure
        self.bar.set_postfix_str(self.cost(spent), refresh=False)
        self.bar.update()
        if self.bar.disable and time.monotonic() - self.told >= EVERY:
            self.told = time.monotonic()
            rate = self.done / (self.told - self.began)
            cost = self.cost(spent)
            log.info("%s: %d of %d, %.2g/s, %s", self.label, self.done, self.total, rate, cost)

    def cost(self, spent: Totals) -> str:
        usd = self.price.of(spent.tokens_in, spent.tokens_out)
        money = "" if usd is None else f", {usd:.4g} USD"
        return f"{spent.tokens_in + spent.tokens_out} tokens{money}, {self.failed} failed"

    def close(self) -> None:
        self.bar.close()
