"""What calls cost, and how much they may: counted in tokens, and in USD where prices are known."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from mllmrec.journal import Record, Totals
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

    A call begins only where what it will likely take is left.
    """

    max_usd: Usd | None
    max_tokens: Annotated[int, Field(ge=0)] | None

    def used_up(self, spent: Totals, more: Totals, price: Price) -> str | None:
        """The knob that stands in the way of ``more``, with what was spent; or None."""
        for name, most, unit, done, also in (
            ("max_tokens", self.max_tokens, "tokens", total(spent), total(more)),
            ("max_usd", self.max_usd, "USD", usd_of(spent, price), usd_of(more, price)),
        ):
            if most is not None and (done >= most or done + also > most):
                said = f"endpoint.budget.{name}={told(most)}: {told(done)} {unit} are spent"
                return said if done >= most else f"{said}, and a call takes about {told(also)}"
        return None


class Purse:
    """A budget, with what was ``spent`` of it and what is set aside for the calls under way.

    A call will likely take what the answered ones did on average, those of ``known`` records among
    them; where there are none, what is sent and all the room for the answer.
    """

    def __init__(
        self, budget: Budget, price: Price, spent: Totals, known: Iterable[Record]
    ) -> None:
        self.budget, self.price, self.spent = budget, price, spent
        self.answers = Totals()
        self.under_way: list[Totals] = []
        for record in known:
            self.answers.add(record)

    def likely(self, sent: int, room: int) -> Totals:
        """What a call will take that sends so many tokens and has room for so many."""
        answers, count = self.answers, self.answers.calls
        if not count:
            return Totals(tokens_in=sent, tokens_out=room)
        into, out = answers.tokens_in / count, answers.tokens_out / count
        return Totals(tokens_in=round(into), tokens_out=round(out))

    def lacks(self, call: Totals) -> str | None:
        """The knob that stands in the way of one more call, or None.

        Before anything is known a call may take less than all of its room, so that one is tried.
        """
        if not self.answers.calls and not self.under_way:
            call = Totals()
        more = Totals(
            tokens_in=sum(each.tokens_in for each in (*self.under_way, call)),
            tokens_out=sum(each.tokens_out for each in (*self.under_way, call)),
        )
        return self.budget.used_up(self.spent, more, self.price)

    def answered(self, tokens_in: int, tokens_out: int) -> None:
        """A call has taken so much."""
        self.answers.calls += 1
        for each in (self.answers, self.spent):
            each.tokens_in += tokens_in
            each.tokens_out += tokens_out


def total(cost: Totals) -> int:
    return cost.tokens_in + cost.tokens_out


def usd_of(cost: Totals, price: Price) -> float:
    """USD, or 0 where a price is not known, and no budget can be of them."""
    return price.of(cost.tokens_in, cost.tokens_out) or 0.0


def told(count: float) -> str:
    return str(count) if isinstance(count, int) else f"{count:.4g}"
