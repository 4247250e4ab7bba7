"""What the work will take, said before the first call; how far it is, said while it goes on."""

from typing import TYPE_CHECKING

from mllmrec.asking import Request, tokens_in
from mllmrec.endpoint.budget import Price
from mllmrec.journal import Totals
from mllmrec.progress import Bar

if TYPE_CHECKING:
    from mllmrec.endpoint.server import Server
    from mllmrec.journal import Journal

SECONDS_A_CALL = 3.0  # assumed where no call was timed yet


def estimate(server: "Server", requests: list[Request], journal: "Journal") -> str:
    """One sentence on what these requests will take, with what was assumed.

    Calls that must be made again are not foreseen.
    """
    into, assumed = tokens_in(requests, server.picture_size)
    out = len(requests) * server.max_tokens
    usd = server.price.of(into, out)
    cost = "price unknown: set endpoint.price" if usd is None else f"at most {usd:.4g} USD"
    timed = journal.spent if journal.spent.calls else journal.known
    each = timed.seconds / timed.calls if timed.calls else SECONDS_A_CALL
    source = "as calls took before" if timed.calls else "assumed"
    minutes = each * len(requests) / server.concurrency / 60
    return (
        f"{len(requests)} calls to {server.model}: about {into} tokens in "
        f"{assumed}, at most {out} out, {cost}, about "
        f"{minutes:.1f} min ({each:.2g} s a call, {source}; {server.concurrency} at once)"
    )


class Progress(Bar):
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
