import pytest
import torch
from pydantic import ValidationError

from mllmrec.algorithm.policy.kl_cov import KlCov
from tests.algorithm.batches import batch, terms


def part(**over):
    values = {"ratio": 0.2, "coefficient": 0.5, "anchor": "ref", "averaging": "token"}
    return KlCov(**{**values, **over})


# Tokens 3 and 2; A 1 and −1.
def two(sums=(0.0, 0.0)):
    return batch({"a": ["a", "c"]}, advantages=[1.0, -1.0], sums=sums)


LOGPS = [[-0.1, -1.0, -0.2], [-3.0, -0.7, 0.0]]  # mean of the five −1.0, mean of A 1/5
# cov = (0.8, −1.2) × (log π + 1): 0.72, 0, 0.64 and 2.4, −0.36: the first token of c


def test_the_token_of_the_largest_covariance_is_braked():
    made = two()
    given = terms(made, torch.tensor(LOGPS), ref=torch.tensor([[0.0] * 3, [-1.0, 0.0, 0.0]]))
    given.rows.old[:] = torch.tensor(LOGPS) * made.mask  # r = 1
    # (−3 + 2 + 0.5 |−3 + 1|) / 5
    assert part()(given).item() == pytest.approx(0.0, abs=1e-6)
    assert made.charts == {"kl_cov/tokens": 1.0, "kl_cov/distance": pytest.approx(2.0)}
    # of five tokens 40 % are two: the next is the first of a, |−0.1|
    found = part(ratio=0.4)(given).item()
    assert found == pytest.approx((-1 + 0.5 * (2.0 + 0.1)) / 5, abs=1e-6)
    assert made.charts["kl_cov/tokens"] == 2.0


def test_nothing_is_clipped():
    made = two(sums=(-2.0, -3.0))
    given = terms(made, torch.tensor(LOGPS) * made.mask, ref=torch.tensor(LOGPS))
    # the first tokens have r = e^(−0.1 + 2) and 1; old is 0 at the others
    gains = torch.tensor([1.9, -1.0, -0.2]).exp().sum() - torch.tensor([0.0, -0.7]).exp().sum()
    assert part()(given).item() == pytest.approx(-gains.item() / 5, rel=1e-6)


def test_gradients():
    made = two()
    logps = torch.tensor(LOGPS, requires_grad=True)
    given = terms(made, logps, ref=torch.tensor([[0.0] * 3, [-1.0, 0.0, 0.0]]))
    given.rows.old[:] = torch.tensor(LOGPS) * made.mask
    part()(given).backward()
    # −A r, and on the braked token c · sign(log π − log π_ref) = −0.5; over five tokens
    expected = [[-0.2, -0.2, -0.2], [0.2 - 0.1, 0.2, 0.0]]
    torch.testing.assert_close(logps.grad, torch.tensor(expected))


def test_a_sampler_that_is_the_policy_is_no_brake():
    made = two()
    logps = torch.tensor(LOGPS, requires_grad=True)
    given = terms(made, logps)
    given.rows.old[:] = logps.detach() * made.mask
    braked = part(anchor="old", coefficient=100.0)(given)
    (gradient,) = torch.autograd.grad(braked, logps)
    free = part(anchor="old", coefficient=1e-9)(given)
    assert braked.item() == free.item()
    assert torch.equal(gradient, torch.autograd.grad(free, logps)[0])
    assert made.charts["kl_cov/distance"] == 0.0


def test_an_older_sampler_is():
    made = two(sums=(0.0, -2.0))  # the first token of c is −3 now: |log r| = 1, r = 1/e
    given = terms(made, torch.tensor(LOGPS) * made.mask)
    given.rows.old[0] = torch.tensor(LOGPS[0])
    given.rows.old[1, 1] = LOGPS[1][1]
    expected = (-3 + torch.tensor(-1.0).exp().item() + 1 + 0.5) / 5
    assert part(anchor="old")(given).item() == pytest.approx(expected, abs=1e-6)


def test_only_the_reference_needs_one():
    assert part(anchor="ref").needs_reference
    assert not part(anchor="old").needs_reference


def test_token_weights_weigh_a_brake_too_and_a_token_of_no_weight_is_never_braked():
    made = two()
    ref = torch.tensor([[0.0] * 3, [-1.0, 0.0, 0.0]])
    halved = terms(made, torch.tensor(LOGPS), ref=ref, weights=torch.full((2, 3), 0.5))
    halved.rows.old[:] = torch.tensor(LOGPS) * made.mask
    assert part()(halved).item() == pytest.approx(0.5 * (-1 + 0.5 * 2) / 5, abs=1e-6)
    weights = torch.tensor([[1.0] * 3, [0.0, 1.0, 1.0]])
    given = terms(made, torch.tensor(LOGPS), ref=ref, weights=weights)
    given.rows.old[:] = torch.tensor(LOGPS) * made.mask
    # mean of four: log π −0.5, A 0.5; cov 0.2, −0.25, 0.15, 0.3: the end of c, |−0.7|
    assert part()(given).item() == pytest.approx((-3 + 1 + 0.5 * 0.7) / 5, abs=1e-6)


def test_the_term_of_beta_comes_on_top():
    made = two()
    given = terms(made, torch.tensor(LOGPS), ref=torch.tensor(LOGPS), beta=0.1, kl=made.mask * 2.0)
    given.rows.old[:] = torch.tensor(LOGPS) * made.mask
    assert part()(given).item() == pytest.approx(-1 / 5 + 0.2, abs=1e-6)


def test_averages():
    made = two()
    given = terms(made, torch.tensor(LOGPS), ref=torch.tensor([[0.0] * 3, [-1.0, 0.0, 0.0]]))
    given.rows.old[:] = torch.tensor(LOGPS) * made.mask
    # sums −3 of three tokens and 2 + 1 of two; the longest has 4
    assert part(averaging="sequence")(given).item() == pytest.approx((-1 + 1.5) / 2, abs=1e-6)
    assert part(averaging="constant")(given).item() == pytest.approx(0.0, abs=1e-6)


def test_it_is_the_form_of_verl():
    """Written out after its compute_policy_loss_kl_cov, token-mean, by loops and sorting."""
    generator = torch.Generator().manual_seed(11)
    made = batch({"a": ["a", "b", "c", "d"], "d": ["d", None, "a", "b"]})
    made.advantages[:] = torch.randn(8, generator=generator)
    logps, old = -torch.rand(8, 4, generator=generator), -torch.rand(8, 4, generator=generator)
    made.old[:] = old * made.mask
    tokens = [(row, place) for row, place in made.mask.nonzero().tolist()]
    mean_a = sum(made.advantages[row].item() for row, _ in tokens) / len(tokens)
    mean_p = sum(logps[at].item() for at in tokens) / len(tokens)

    def covariance(at):
        return (made.advantages[at[0]].item() - mean_a) * (logps[at].item() - mean_p)

    kept = sorted(tokens, key=covariance, reverse=True)[: max(1, int(len(tokens) * 0.3))]
    expected = 0.0
    for at in tokens:
        apart = (logps[at] - old[at]).item()
        loss = -made.advantages[at[0]].item() * torch.tensor(apart).exp().item()
        expected += loss + (0.7 * abs(apart) if at in kept else 0.0)
    found = part(ratio=0.3, coefficient=0.7, anchor="old")(terms(made, logps))
    assert found.item() == pytest.approx(expected / len(tokens), abs=1e-6)


@pytest.mark.parametrize("over", [{"ratio": 0.0}, {"ratio": 1.1}, {"coefficient": 0.0}])
def test_ranges(over):
    with pytest.raises(ValidationError):
        part(**over)
