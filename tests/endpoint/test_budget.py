"""What tokens cost, and when a budget is used up."""

import pytest

from mllmrec.endpoint.budget import Budget, Price
from mllmrec.journal import Totals


def test_usd_are_of_a_million_tokens() -> None:
    assert Price(input=2.0, output=8.0).of(500_000, 250_000) == pytest.approx(3.0)
    assert Price(input=2.0, output=None).of(1, 1) is None
    assert Price(input=0.0, output=0.0).of(1, 1) == 0.0


@pytest.mark.parametrize(
    ("most_usd", "most_tokens", "knob"),
    [
        (None, None, None),
        (3.01, 750_001, None),
        (3.0, None, "endpoint.budget.max_usd=3: 3 USD"),
        (None, 750_000, "endpoint.budget.max_tokens=750000: 750000 tokens"),
        (0.0, None, "endpoint.budget.max_usd=0"),
    ],
)
def test_a_budget_is_used_up_when_it_is_reached(
    most_usd: float | None, most_tokens: int | None, knob: str | None
) -> None:
    spent = Totals(tokens_in=500_000, tokens_out=250_000)
    price = Price(input=2.0, output=8.0)
    found = Budget(max_usd=most_usd, max_tokens=most_tokens).used_up(spent, price)
    assert found is None if knob is None else found is not None and found.startswith(knob)
