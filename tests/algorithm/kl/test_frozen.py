from math import exp, log

import pytest
import torch
from torch.testing import assert_close

from mllmrec.algorithm.kl.frozen import Frozen
from tests.algorithm.batches import batch, terms
from tests.algorithm.trl_loss import drawn

# π = 1/2 and π_ref = 1/4: Δ = −ln 2
HALF = log(2)
ESTIMATES = {"k1": HALF, "k2": HALF**2 / 2, "k3": exp(-HALF) + HALF - 1}
# dΔ/d log π = −1: −(−1); Δ · (−1); −e^Δ + 1
SLOPES = {"k1": 1.0, "k2": HALF, "k3": 0.5}


def row(old: float):
    logps = torch.full((1, 2), -HALF).requires_grad_()
    ref = torch.full((1, 2), -2 * HALF)
    made = batch({"c": ["c"]}, sums=[old])
    return terms(made, logps, ref=ref).rows


@pytest.mark.parametrize("estimator", ESTIMATES)
def test_by_hand(estimator):
    rows = row(old=0.0)
    found = Frozen(estimator=estimator, bias_correction=False)(rows)
    assert_close(found, torch.full((1, 2), ESTIMATES[estimator]))
    slopes = torch.autograd.grad(found.sum(), rows.logps)[0]
    assert_close(slopes, torch.full((1, 2), SLOPES[estimator]))


@pytest.mark.parametrize("estimator", ESTIMATES)
def test_corrected_by_the_ratio(estimator):
    """π_old = 1/4 for the first token: r = 2, whose slope is 2 too."""
    rows = row(old=-2 * HALF)
    found = Frozen(estimator=estimator, bias_correction=True)(rows)
    plain, slope = ESTIMATES[estimator], SLOPES[estimator]
    assert_close(found[0, 0], torch.tensor(2 * plain))
    slopes = torch.autograd.grad(found.sum(), rows.logps)[0]
    assert_close(slopes[0, 0], torch.tensor(2 * plain + 2 * slope))


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_the_corrected_ones_have_the_gradient_of_the_kl(estimator):
    """Over all tokens of a vocabulary of four, each as often as π draws it; k1 alone has none."""
    scores = torch.tensor([0.5, -1.0, 0.2, 0.0]).requires_grad_()
    logps, ref = scores.log_softmax(0), torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    (truth,) = torch.autograd.grad((logps.exp() * (logps - ref)).sum(), scores, retain_graph=True)
    weights = logps.exp().detach()

    def expected(bias_correction: bool):
        made = batch({"c": [None] * 4}, sums=logps.detach().tolist())
        rows = terms(made, logps[:, None], ref=ref[:, None]).rows
        found = Frozen(estimator=estimator, bias_correction=bias_correction)(rows)[:, 0]
        return torch.autograd.grad((weights * found).sum(), scores, retain_graph=True)[0]

    assert_close(expected(True), truth)
    if estimator == "k1":
        assert_close(expected(False), torch.zeros(4), rtol=0, atol=1e-7)


@pytest.mark.parametrize("estimator", ESTIMATES)
def test_nothing_behind_the_end(estimator):
    """Whatever stands there, and if it is infinite."""
    rows = drawn(1).rows
    with torch.no_grad():
        rows.ref[rows.mask == 0] = float("inf")
    found = Frozen(estimator=estimator, bias_correction=True)(rows)
    assert found[rows.mask == 0].eq(0).all() and found.isfinite().all()
    assert torch.autograd.grad(found.sum(), rows.logps)[0].isfinite().all()


def test_trl_has_k3_alone():
    assert Frozen(estimator="k3", bias_correction=True).trl() == {"use_bias_correction_kl": True}
    assert Frozen(estimator="k1", bias_correction=False).trl() == {}
