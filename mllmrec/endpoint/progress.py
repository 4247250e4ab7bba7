"""What the work will take, said before the first call; how far it is, said while it goes on."""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mllmrec import progress
from mllmrec.asking import Request, tokens_in
from mllmrec.endpoint.budget import Price
from mllmrec.endpoint.line import Trouble
from mllmrec.journal import Record, Totals

if TYPE_CHECKING:
    from mllmrec.endpoint.server import Server

log = logging.getLogger(__name__)

SECONDS_A_CALL = 3.0  # assumed where no call was timed yet


def estimate(server: "Server", requests: Sequence[Request], known: Sequence[Record]) -> str:
    """One sentence on what these requests will take, with what was assumed.

    ``known`` are single calls that this model has answered, which tell how long one takes. Calls
    that must be made again are not foreseen.
    """
    into, assumed = tokens_in(requests, server.picture_size)
    out = len(requests) * server.max_tokens
    usd = server.price.of(into, out)
    cost = "price unknown: set endpoint.price" if usd is None else f"at most {usd:.4g} USD"
    timed = sum(record.seconds for record in known)
    each = timed / len(known) if known else SECONDS_A_CALL
    source = "as calls took before" if known else "assumed"
    seconds = each * max(1, len(requests) / server.concurrency)
    long = f"{seconds:.0f} s" if seconds < 59.5 else f"{seconds / 60:.1f} min"
    return (
        f"{len(requests)} calls to {server.model}: about {into} tokens in "
        f"{assumed}, at most {out} out, {cost}, about "
        f"{long} ({each:.2g} s a call, {source}; {server.concurrency} at once)"
    )


class Progress(progress.Bar):
    """The bar of records, with what they have cost and how many have failed."""

    def __init__(self, label: str, total: int, price: Price) -> None:
        super().__init__(label, total, "record")
        self.price, self.failed = price, 0

    def ended(self, spent: Totals, *, is_failure: bool) -> None:
        """One record more has come to its end."""
        self.failed += is_failure
        self.step(1, self.cost(spent))

    def cost(self, spent: Totals) -> str:
        usd = self.price.of(spent.tokens_in, spent.tokens_out)
        money = "" if usd is None else f", {usd:.4g} USD"
        return f"{spent.tokens_in + spent.tokens_out} tokens{money}, {self.failed} failed"


class Notices:
    """What a server at ``url`` does that makes the work wait, said in the log and not too often."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.waits = 0
        self.told: float | None = None  # when a wait was said last
        self.is_missed = False

    def wait(self, trouble: Trouble) -> None:
        """A call was told to wait."""
        self.waits += 1
        now = time.monotonic()
        if self.told is None or now - self.told >= progress.EVERY:
            self.told = now
            so_far = f"({trouble.status}, {self.waits} so far)"
            log.info("the server asks to wait %.3g s %s", trouble.wait, so_far)

    def miss(self, trouble: Trouble) -> None:
        """A call before the first answer failed, and is made again."""
        if not self.is_missed:
            self.is_missed = True
            log.warning("no answer yet from %s: %s; trying again", self.url, trouble)
