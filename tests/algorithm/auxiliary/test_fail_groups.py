from math import exp, log
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError

from mllmrec.algorithm.auxiliary.fail_groups import FailGroups
from mllmrec.algorithm.batch import Rows
from tests.algorithm.batches import batch, terms


def part(**over):
    values = {"loss": "simpo", "beta": 2.0, "gamma": 0.5, "pairs": "all", "normalise": "length"}
    return FailGroups(weight=1.0, **{**values, **over})


def others(owner, logps, mask, weights=None, ref=None):
    mask = torch.tensor(mask)
    return Rows(
        owner=torch.tensor(owner),
        logps=logps,
        old=logps.detach(),
        ref=ref,
        mask=mask,
        weights=mask if weights is None else weights * mask,
    )


def softplus(x):
    """−log σ(−x)."""
    return log(1 + exp(x))


# The first prompt has no hit, the second has one. Means of log π: b −0.3/3 = −0.1, c −0.8/2 = −0.4.
LOGPS = [[-0.1, -0.1, -0.1], [-0.4, -0.4, 0.0], [-0.7, -0.7, -0.7], [-1.0, -1.0, -1.0]]
GOLD = [[-0.5, -0.6, -0.1]]  # −1.2/3 = −0.4


def failing(**over):
    made = batch({"a": ["b", "c"], "b": ["b", "a"]})
    return made, terms(made, torch.tensor(LOGPS), **over)


def test_the_target_of_each_group_without_a_hit_is_asked_for():
    made = batch({"a": ["b", "c"], "b": ["b", "a"], "d": [None]})
    assert part().others(made) == [(0, (1, 2, 9)), (2, (5, 6, 7, 9))]


def test_a_prompt_that_has_lost_its_rows_is_not():
    made = batch({"a": ["b", "c"], "b": ["b", "a"]}).take([2, 3])
    assert part().others(made) == []


def test_simpo_of_two_misses():
    made, given = failing()
    gold = others([0], torch.tensor(GOLD), [[1.0] * 3])
    # margins −0.4 + 0.1 = −0.3 and −0.4 + 0.4 = 0; the mean of two pairs over P = 2 prompts
    expected = (softplus(2 * 0.3 + 0.5) + softplus(0.5)) / 2 / 2
    assert part()(given, gold).item() == pytest.approx(expected, abs=1e-6)
    assert made.charts == {
        "auxiliary/fail_groups/share": 0.5,
        "auxiliary/fail_groups/margin": pytest.approx(-0.15),
        "auxiliary/fail_groups/accuracy": 0.0,
    }


def test_every_prompt_has_a_hit():
    made = batch({"a": ["a", "c"]})
    found = part()(terms(made, torch.zeros(2, 3, requires_grad=True)), None)
    assert found.item() == 0.0
    assert made.charts == {"auxiliary/fail_groups/share": 0.0}


def test_groups_count_alike_whatever_their_size():
    made = batch({"a": ["b"], "b": ["c", "c", "c"]})
    given = terms(made, torch.zeros(4, 3))
    gold = others([0, 1], torch.zeros(2, 3), [[1.0] * 3] * 2)
    assert part()(given, gold).item() == pytest.approx(softplus(0.5), abs=1e-6)


def test_distinct_misses_count_once():
    made = batch({"a": ["b", "b", "b", "c"]})
    given = terms(made, torch.tensor([LOGPS[0]] * 3 + [LOGPS[1]]))
    gold = others([0], torch.tensor(GOLD), [[1.0] * 3])
    low, high = softplus(1.1), softplus(0.5)
    assert part()(given, gold).item() == pytest.approx((3 * low + high) / 4, abs=1e-6)
    found = part(pairs="unique")(given, gold).item()
    assert found == pytest.approx((low + high) / 2, abs=1e-6)


def test_the_hardest_miss_is_the_most_probable_one():
    _, given = failing()
    gold = others([0], torch.tensor(GOLD), [[1.0] * 3])
    found = part(pairs="hardest")(given, gold).item()  # b, −0.1
    assert found == pytest.approx(softplus(1.1) / 2, abs=1e-6)


def test_token_weights_and_what_they_are_divided_by():
    weights = torch.tensor([[1.0, 1.0, 0.5]])
    made = batch({"a": ["b"]})
    given = terms(made, torch.tensor([[-0.2, -0.2, -0.8]]), weights=weights)
    gold = others([0], torch.tensor([[-0.4, -0.2, -1.8]]), [[1.0] * 3], weights=weights)
    # sums −0.8 and −1.5; over |y| = 3 they are 0.7/3 apart, over Σ w = 2.5 0.28
    for normalise, margin in (("length", 0.7 / 3), ("weight_sum", 0.28)):
        found = part(normalise=normalise)(given, gold).item()
        assert found == pytest.approx(softplus(2 * margin + 0.5), abs=1e-6)


def test_an_answer_of_no_weight_at_all_scores_zero():
    made = batch({"a": ["b"]})
    given = terms(made, torch.tensor([[-0.2] * 3]), weights=torch.zeros(1, 3))
    gold = others([0], torch.tensor(GOLD), [[1.0] * 3], weights=torch.zeros(1, 3))
    assert part(normalise="weight_sum")(given, gold).item() == pytest.approx(softplus(0.5))


def test_nll_is_of_the_target_alone():
    _, given = failing()
    gold = others([0], torch.tensor(GOLD), [[1.0] * 3])
    assert part(loss="nll")(given, gold).item() == pytest.approx(0.4 / 2)


def test_dpo_holds_log_ratios_against_each_other():
    ref = torch.tensor([[-0.2] * 3, [-0.4, -0.4, 0.0], [0.0] * 3, [0.0] * 3])
    _, given = failing(ref=ref)
    gold = others([0], torch.tensor(GOLD), [[1.0] * 3], ref=torch.tensor([[-0.6, -0.8, -0.2]]))
    # Δ: gold −1.2 + 1.6 = 0.4, b −0.3 + 0.6 = 0.3, c 0
    expected = (softplus(-0.5 * 0.1) + softplus(-0.5 * 0.4)) / 2 / 2
    assert part(loss="dpo", beta=0.5)(given, gold).item() == pytest.approx(expected, abs=1e-6)


def test_the_reference_is_needed_for_dpo_alone():
    needs = {loss: part(loss=loss).needs_reference for loss in ("simpo", "dpo", "nll")}
    assert needs == {"simpo": False, "dpo": True, "nll": False}


def test_knobs_that_a_loss_does_not_read_identify_nothing():
    assert part(gamma=1.0).knobs() != part().knobs()
    assert part(loss="dpo", gamma=1.0).knobs() == part(loss="dpo").knobs()
    assert part(loss="nll", pairs="unique").knobs() == part(loss="nll").knobs()


@pytest.mark.parametrize("over", [{"beta": 0.0}, {"gamma": -0.1}, {"loss": "orpo"}])
def test_ranges(over):
    with pytest.raises(ValidationError):
        part(**over)


def test_the_gradient_lifts_the_target_and_lowers_the_misses():
    made = batch({"a": ["b", "c"]})
    logps = torch.tensor(LOGPS[:2], requires_grad=True)
    target = torch.tensor(GOLD, requires_grad=True)
    part()(terms(made, logps), others([0], target, [[1.0] * 3])).backward()
    # d/dℓ̄ = β σ(γ − β margin); of each token a third of it, or a half for c
    slopes = [2 / (1 + exp(-1.1)) / 2, 2 / (1 + exp(-0.5)) / 2]
    assert target.grad[0].tolist() == pytest.approx([-sum(slopes) / 3] * 3, abs=1e-6)
    assert logps.grad[0].tolist() == pytest.approx([slopes[0] / 3] * 3, abs=1e-6)
    assert logps.grad[1].tolist() == pytest.approx([slopes[1] / 2] * 2 + [0.0], abs=1e-6)


@pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'")
def test_simpo_is_that_of_trl():
    from trl.experimental.cpo import CPOTrainer

    generator = torch.Generator().manual_seed(3)
    made = batch({"a": ["b", "c", "d"], "b": ["c", "a", "d"], "d": [None, "a", "b"]})
    logps = -torch.rand(9, 4, generator=generator)
    gold = others(
        [0, 1, 2],
        -torch.rand(3, 4, generator=generator),
        [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0], [1.0] * 4],
    )
    stand_in = SimpleNamespace(
        alpha=0.0,
        beta=2.5,
        simpo_gamma=1.375,
        loss_type="simpo",
        label_smoothing=0.0,
        accelerator=SimpleNamespace(device="cpu"),
    )
    misses = (logps * made.mask).sum(1) / made.mask.sum(1)
    chosen = ((gold.logps * gold.mask).sum(1) / gold.mask.sum(1)).repeat_interleave(3)
    losses, _, _ = CPOTrainer.cpo_loss(stand_in, chosen, misses)
    found = part(beta=2.5, gamma=1.375)(terms(made, logps), gold)
    assert found.item() == pytest.approx(losses.mean().item(), abs=1e-6)
