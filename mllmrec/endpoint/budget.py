"""What calls cost, and how much they may: counted in tokens, and in USD where prices are known."""

from typing import Annotated

from pydantic import Field

from mllmrec.journal import Totals
from mllmrec.schema import Model

Usd = Annotated[float, Field(ge=0)]


class Price(Model):
    """USD a million tokens; a side that is None is not known."""

    input: Usd | None
    output: Usd | None

    @property
    def is_known(self) -> bool:
        return self.input is not None and self.output is not None

    def of(self, tokens_in: int, tokens_out: int) -> float | None:
        """USD for so many tokens; None where a price is not known."""
        if self.input is None or self.output is None:
            return None
        return (tokens_in * self.input + tokens_out * self.output) / 1e6


class Budget(Model):
    """The most that one artifact may cost, all launches together; None where there is no limit.

    When it is used up no call is begun, and those under way are waited for: it can be passed by
    as many calls as there are at once.
    """

    max_usd: Usd | None
    max_tokens: Annotated[int, Field(ge=0)] | None

    def used_up(self, spent: Totals, price: Price) -> str | None:
        """The knob that stands in the way of another call, with what was spent; or None."""
        tokens, usd = (
            spent.tokens_in + spent.tokens_out,
            price.of(spent.tokens_in, spent.tokens_out),
        )
        if self.max_tokens is not None and tokens >= self.max_tokens:
            return f"endpoint.budget.max_tokens={self.max_tokens}: {tokens} tokens are spent"
        if self.max_usd is not None and usd is not None and usd >= self.max_usd:
            return f"endpoint.budget.max_usd={self.max_usd:g}: {usd:.4g} USD are spent"
        return None
