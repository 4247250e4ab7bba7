"""RL-PLUS' term of the target's answer, in numbers."""

import math

import pytest
import torch
from pydantic import ValidationError

from mllmrec.algorithm.auxiliary.gold import Gold
from mllmrec.algorithm.batch import Rows
from tests.algorithm.batches import ANSWERS, batch, terms

KNOBS = {"weight": 1.0, "gamma": 0.5, "omega": "uniform_mix"}
GOLD = Gold(**KNOBS, scale="none", normalise_by="constant")


def loss_of(made, probs, old=None, weights=None, **over):
    """The loss, the gradient by the log-probabilities of the targets' answers, and its charts."""
    logps = torch.tensor(probs).log().requires_grad_()
    before = logps.detach() if old is None else torch.tensor(old).log()
    mask = torch.tensor([[float(p < 1) for p in row] for row in probs])
    rows = Rows(
        owner=torch.arange(len(probs)),
        logps=logps,
        old=before * mask,
        ref=None,
        mask=mask,
        weights=mask if weights is None else mask * torch.tensor(weights),
    )
    loss = GOLD.model_copy(update=over)(terms(made, torch.zeros_like(made.mask)), rows)
    loss.backward()
    return loss.item(), logps.grad, made.charts


def one():
    """Target c, hit by one row of four: A_e = 1 − 1/4."""
    return batch({"c": ["c", "a", "b", "d"]})


def test_it_asks_for_the_answer_of_every_target():
    made = batch({"c": ["a"], "d": ["d", "b"]})
    assert GOLD.others(made) == [(0, ANSWERS["c"]), (1, ANSWERS["d"])]


def test_the_formula():
    """π = π_old = .5 and .25: r = 1 / 1.25 = .8 and .5 / .875 = 4/7; A^c = .75 √.5 and .75 √.75."""
    loss, gradient, charts = loss_of(one(), [[0.5, 0.25]])
    pushes = [0.8 * 0.75 * math.sqrt(0.5), 4 / 7 * 0.75 * math.sqrt(0.75)]
    assert loss == pytest.approx(-sum(pushes) / 4)  # the longest completion has 4 tokens
    assert gradient[0].tolist() == pytest.approx([-push / 4 for push in pushes])
    assert charts == {
        "auxiliary/gold/probability": pytest.approx(0.375),
        "auxiliary/gold/gradient": pytest.approx(sum(pushes) / 2),
        "auxiliary/gold/advantage": pytest.approx(0.75),
    }


def test_by_tokens_it_is_their_mean():
    loss, _, charts = loss_of(one(), [[0.5, 0.25]], normalise_by="tokens")
    assert loss == pytest.approx(-charts["auxiliary/gold/gradient"])


def test_the_plain_ratio_is_one_at_first_and_then_unbounded():
    loss, _, _ = loss_of(one(), [[0.5, 0.25]], omega="none", gamma=0.0)
    assert loss == pytest.approx(-0.75 * 2 / 4)
    loss, _, _ = loss_of(one(), [[0.5, 0.25]], old=[[0.05, 0.25]], omega="none", gamma=0.0)
    assert loss == pytest.approx(-0.75 * (10 + 1) / 4)


def test_the_ratio_is_four_at_most():
    """π near 1 and π_old near 0: 2 / .5."""
    loss, _, _ = loss_of(one(), [[0.999999]], old=[[1e-9]], gamma=0.0, normalise_by="tokens")
    assert loss == pytest.approx(-4 * 0.75, rel=1e-5)


@pytest.mark.parametrize("prob", [1e-3, 1e-5])
def test_a_very_improbable_answer_gets_almost_no_push(prob):
    _, gradient, charts = loss_of(one(), [[prob]], normalise_by="tokens")
    assert gradient.item() == pytest.approx(-4 * prob * 0.75, rel=5e-3)
    assert charts["auxiliary/gold/gradient"] == pytest.approx(-gradient.item())


def test_what_is_likely_already_is_pushed_less_the_larger_gamma_is():
    pushes = [loss_of(one(), [[0.9]], gamma=gamma)[0] for gamma in (0.0, 0.5, 1.0)]
    assert pushes[0] < pushes[1] < pushes[2] < 0
    assert pushes[2] == pytest.approx(pushes[0] * 0.1, rel=1e-5)


def test_a_full_group_needs_no_push_and_an_empty_one_gets_none():
    made = batch({"c": ["c", "c"], "d": ["a", "b"], "b": ["a", "b"]}).take([0, 1, 2, 3])
    advantage = GOLD.advantage(made)
    assert advantage.tolist() == [0, 1, 0]


def test_the_std_divides_where_there_is_one():
    """Rewards 1, 0, 0, 0: std .5, A_e .75; without a hit A_e is 1 as it is."""
    made = batch({"c": ["c", "a", "b", "d"], "d": ["a", "b"]})
    scaled = GOLD.model_copy(update={"scale": "group"}).advantage(made)
    assert scaled.tolist() == pytest.approx([0.75 / 0.5001, 1])


def test_rounding_is_no_std():
    made = batch({"d": ["a", "b", "c"]}, rewards=[0.1, 0.1, 0.1])
    scaled = GOLD.model_copy(update={"scale": "group"}).advantage(made)
    assert scaled.tolist() == pytest.approx([0.9])


def test_what_the_target_is_paid_is_what_the_rewards_say():
    made = batch({"c": ["a", "b"]}, pay=lambda sample, tokens: 2.5)
    assert GOLD.advantage(made).tolist() == [2.5]


def test_token_weights_make_the_loss_smaller_and_count_as_tokens():
    loss, gradient, _ = loss_of(one(), [[0.5, 0.5]], weights=[[1.0, 0.0]], normalise_by="tokens")
    assert loss == pytest.approx(-0.8 * 0.75 * math.sqrt(0.5) / 2)
    assert gradient[0, 1] == 0


def test_prompts_share_the_loss():
    """Two prompts alike, one of a shorter answer: what is behind its end does not count."""
    made = batch({"c": ["a"], "d": ["a"]})
    loss, gradient, _ = loss_of(made, [[0.5, 1.0], [0.5, 0.5]], gamma=0.0)
    assert loss == pytest.approx(-(0.8 + 0.8 + 0.8) / (2 * 4))
    assert gradient[0, 1] == 0


@pytest.mark.parametrize("knob", [{"gamma": -0.1}, {"omega": "old"}, {"normalise_by": "all"}])
def test_knobs_out_of_range_are_refused(knob):
    with pytest.raises(ValidationError):
        Gold.model_validate({**GOLD.model_dump(), **knob})
