"""What tokens cost, and when a budget is used up."""

import pytest

from mllmrec.endpoint.budget import Budget, Price, Purse
from mllmrec.journal import Record, Totals


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
    found = Budget(max_usd=most_usd, max_tokens=most_tokens).used_up(spent, Totals(), price)
    assert found is None if knob is None else found is not None and found.startswith(knob)


def test_a_budget_keeps_out_what_would_pass_it() -> None:
    spent, price = Totals(tokens_in=50, tokens_out=20), Price(input=1e6, output=1e6)
    budget = Budget(max_usd=None, max_tokens=80)
    assert budget.used_up(spent, Totals(tokens_out=10), price) is None
    told = budget.used_up(spent, Totals(tokens_in=1, tokens_out=10), price)
    assert told is not None and told.endswith("70 tokens are spent, and a call takes about 11")
    told = Budget(max_usd=80, max_tokens=None).used_up(spent, Totals(tokens_out=11), price)
    assert told is not None and told.endswith("=80: 70 USD are spent, and a call takes about 11")


def test_a_purse_reckons_with_the_calls_under_way() -> None:
    price, budget = Price(input=None, output=None), Budget(max_usd=None, max_tokens=100)
    purse = Purse(budget, price, Totals(), [])
    assert purse.likely(10, 500) == Totals(tokens_in=10, tokens_out=500)
    assert purse.lacks(purse.likely(10, 500)) is None, "one is tried"
    purse.under_way.append(purse.likely(10, 500))
    assert purse.lacks(purse.likely(10, 500))
    purse.under_way.clear()
    purse.answered(10, 20)
    assert purse.likely(10, 500) == Totals(tokens_in=10, tokens_out=20)
    for _ in range(2):
        assert purse.lacks(purse.likely(10, 500)) is None
        purse.under_way.append(purse.likely(10, 500))
    assert purse.lacks(purse.likely(10, 500))
    known = [Record(key="k", id="k", text="t", calls=1, tokens_in=8, tokens_out=4)]
    assert Purse(budget, price, Totals(), known).likely(10, 500).tokens_out == 4
