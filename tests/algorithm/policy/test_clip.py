from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from mllmrec.algorithm.kl.frozen import Frozen
from mllmrec.algorithm.policy.clip import Clip
from mllmrec.errors import Refusal
from tests.algorithm.batches import batch, terms
from tests.algorithm.trl_loss import drawn, gradient, loss_of_trl, with_kl
from tests.launching import config


def clip(**over):
    plain = {"level": "token", "epsilon": 0.2, "epsilon_high": 0.3, "delta": None}
    return Clip(**{**plain, "averaging": "token", **over})


def of_ratios(ratios, advantages, *, weights=None, longest=4, **over):
    """Terms of rows with these r by token (0 is no token); π_old is 1 everywhere."""
    found = torch.tensor(ratios)
    made = batch({"a": ["b"] * len(ratios)})
    spans = over.pop("spans", made.spans)
    made = replace(
        made,
        mask=(found > 0).float(),
        old=torch.zeros_like(found),
        advantages=torch.tensor(advantages),
        spans=spans,
    )
    logps = found.clamp(min=1e-9).log().requires_grad_()
    weights = None if weights is None else torch.tensor(weights)
    return terms(made, logps, weights=weights, longest=longest, **over)


LOSSES = [
    # min(1.5 · 1, 1.3 · 1) = 1.3 and no gradient; min(1.1 · 1, 1.1 · 1) = 1.1: mean 1.2
    ([[1.5, 1.1]], [1.0], -1.2, [0.0, -0.55]),
    # A < 0: min(−1.5, −1.3) = −1.5, as high ratios of bad tokens count in full; −1.1
    ([[1.5, 1.1]], [-1.0], 1.3, [0.75, 0.55]),
    # A < 0 below 1 − ε: min(−0.5, −0.8) = −0.8 and no gradient; A > 0 there: 0.5 with one
    ([[0.5, 0.9]], [-1.0], 0.85, [0.0, 0.45]),
    ([[0.5, 0.9]], [1.0], -0.7, [-0.25, -0.45]),
    # by token: a row of one token has no second
    ([[1.0, 1.0], [1.0, 0.0]], [[1.0, 2.0], [3.0, 9.0]], -2.0, [-1 / 3, -2 / 3, -1.0, 0.0]),
]


@pytest.mark.parametrize(("ratios", "advantages", "loss", "slopes"), LOSSES)
def test_by_hand(ratios, advantages, loss, slopes):
    """d r / d log π = r."""
    some = of_ratios(ratios, advantages)
    found = clip()(some)
    assert_close(found, torch.tensor(loss))
    assert_close(gradient(found, some).flatten(), torch.tensor(slopes))


# Rows of 2 and 1 tokens, r = 1, A = 1 and 4: token losses −1 −1 and −4.
AVERAGES = {
    "sequence": -(1 + 4) / 2,  # (mean of −1, −1) and −4
    "token": -(1 + 1 + 4) / 3,
    "constant": -(1 + 1 + 4) / (2 * 4),  # two rows, four tokens at most
}


@pytest.mark.parametrize("averaging", AVERAGES)
def test_averages(averaging):
    some = of_ratios([[1.0, 1.0], [1.0, 0.0]], [1.0, 4.0])
    assert_close(clip(averaging=averaging)(some), torch.tensor(AVERAGES[averaging]))


@pytest.mark.parametrize(
    ("averaging", "loss"),
    # −(0.5 + 1) / 2 and −(0.25 · 4); weights do not count as fewer tokens
    [("sequence", -(0.75 + 1) / 2), ("token", -2.5 / 3), ("constant", -2.5 / 8)],
)
def test_weights_make_the_surrogate_smaller_and_not_its_divisor(averaging, loss):
    weights = [[0.5, 1.0], [0.25, 1.0]]
    some = of_ratios([[1.0, 1.0], [1.0, 0.0]], [1.0, 4.0], weights=weights)
    assert_close(clip(averaging=averaging)(some), torch.tensor(loss))


def test_weights_leave_the_kl_term_as_it_is():
    weighed = of_ratios([[1.0, 1.0]], [1.0], weights=[[0.0, 0.0]], beta=0.5)
    some = replace(weighed, kl=torch.tensor([[2.0, 4.0]]))
    assert_close(clip()(some), torch.tensor(1.5))  # 0.5 · (2 + 4) / 2


def test_sequences_go_by_their_geometric_mean():
    # √(4 · 1) = 2 is cut to 1.3 with no gradient, though a token of it has r = 1
    some = of_ratios([[4.0, 1.0]], [1.0])
    loss = clip(level="sequence")(some)
    assert_close(loss, torch.tensor(-1.3))
    assert gradient(loss, some).eq(0).all()
    # A < 0: −2 counts in full, and each of the two tokens has half of its slope
    some = of_ratios([[4.0, 1.0]], [-1.0])
    assert_close(gradient(clip(level="sequence")(some), some), torch.tensor([[1.0, 1.0]]))


def test_items_go_by_theirs():
    # two items of two tokens, √(2 · 0.5) = 1 and √(4 · 1) = 2 (cut to 1.3), and a token between
    spans = [[("a", 0, 2), ("b", 3, 5)]]
    some = of_ratios([[2.0, 0.5, 1.1, 4.0, 1.0]], [1.0], spans=spans)
    loss = clip(level="item")(some)
    assert_close(loss, torch.tensor(-(1 + 1 + 1.1 + 1.3 + 1.3) / 5))
    slopes = [1.0, 1.0, 1.1, 0.0, 0.0]  # item a: r = 1 on two tokens, half of each to each
    assert_close(gradient(loss, some), -torch.tensor([slopes]) / 5)


def test_one_item_is_its_sequence():
    some = drawn(3)
    whole = [[("a", 0, length)] for length in some.rows.lengths.int().tolist()]
    some = replace(some, batch=replace(some.batch, spans=whole))
    assert_close(clip(level="item")(some), clip(level="sequence")(some))


def test_two_sides_are_clipped():
    # A < 0: min(min(9, 4) · −1, 1.3 · −1) = −4 and no gradient, where −9 would have one
    some = of_ratios([[9.0]], [-1.0])
    loss = clip(delta=4.0)(some)
    assert_close(loss, torch.tensor(4.0))
    assert gradient(loss, some).eq(0).all()
    assert some.batch.charts["clip/delta"] == 1.0


def test_it_charts_what_was_clipped():
    some = of_ratios([[1.5, 1.5, 0.5, 0.5], [1.5, 0.5, 0.0, 0.0]], [1.0, -1.0])
    clip()(some)
    assert some.batch.charts == pytest.approx({"clip/high": 2 / 6, "clip/low": 1 / 6})


@pytest.mark.parametrize("averaging", AVERAGES)
@pytest.mark.parametrize("level", ["token", "sequence", "item"])
def test_rows_without_tokens_are_numbers(averaging, level):
    some = of_ratios([[0.0, 0.0]], [1.0], beta=0.1)
    some = replace(some, kl=torch.zeros(1, 2))
    loss = clip(level=level, averaging=averaging)(some)
    assert loss == 0 and gradient(loss, some).eq(0).all()
    none = replace(some.batch.take([]), charts={})
    rows = {name: getattr(some.rows, name)[:0] for name in ("owner", "old", "mask", "weights")}
    some = replace(
        some, batch=none, rows=replace(some.rows, logps=some.rows.logps[:0], **rows), kl=None
    )
    loss = clip(level=level, averaging=averaging)(some)
    assert loss == 0 and none.charts["clip/high"] == 0


SEQUENCE = {"level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4}
KLS = [(0.0, False), (0.1, False), (0.1, True)]
# TRL's correction takes the sequence's ratio where the loss does, ours the token's
ALIKE = [(over, *kl) for over in ({}, {"delta": 1.5}) for kl in KLS]
ALIKE += [(SEQUENCE, *kl) for kl in KLS[:2]]


@pytest.mark.parametrize("by_token", [False, True], ids=["by row", "by token"])
@pytest.mark.parametrize("averaging", AVERAGES)
@pytest.mark.parametrize(("over", "beta", "correction"), ALIKE)
def test_it_is_what_trl_computes(averaging, over, beta, correction, by_token):
    part, kl = clip(averaging=averaging, **over), Frozen(estimator="k3", bias_correction=correction)
    for seed in range(3):
        some = drawn(seed, by_token=by_token, beta=beta)
        theirs = loss_of_trl(some, {**part.trl(), **kl.trl()})
        ours = part(with_kl(some, kl) if beta else some)
        assert_close(ours, theirs, rtol=0, atol=1e-6)
        assert_close(gradient(ours, some), gradient(theirs, some), rtol=0, atol=1e-6)


def test_the_mean_over_tokens_is_that_of_one_batch():
    """TRL's bnpo is its dapo where a step is one batch of one process, as it is here."""
    some = drawn(5)
    theirs = loss_of_trl(some, {**clip().trl(), "loss_type": "bnpo"})
    assert_close(clip()(some), theirs, rtol=0, atol=1e-6)


def test_gspo_is_grpo_where_rows_are_fresh():
    """r = 1: the gradient of exp(mean of log r) is the mean of those of the tokens."""
    some = drawn(7, far=0.0)
    by_token = clip(averaging="sequence")(some)
    by_sequence = clip(level="sequence", averaging="sequence")(some)
    assert_close(by_sequence, by_token)
    assert_close(gradient(by_sequence, some), gradient(by_token, some), rtol=0, atol=1e-7)


def test_trl_takes_its_fields(tmp_path):
    from trl import GRPOConfig

    fields = clip(averaging="constant", delta=4.0).trl()
    made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **fields)
    assert {key: getattr(made, key) for key in fields} == fields
    assert fields["loss_type"] == "dr_grpo"
    assert clip(level="item").trl() is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["algorithm.policy.delta=1.1"], r"delta=1.1: not above .*delta=null"),
        (["algorithm.policy.level=word"], "policy.level='word'"),
        (["algorithm.policy.epsilon=0.0"], "policy.epsilon=0"),
    ],
)
def test_what_makes_no_sense_is_refused(words, said):
    with pytest.raises(Refusal, match=said):
        config(*words)


def test_ratios_far_away_stay_finite_where_there_is_no_token():
    """exp(200) is infinite in float32, and 0 · ∞ no number."""
    some = of_ratios([[1.0, 0.0]], [1.0])
    logps = torch.tensor([[0.0, 200.0]]).requires_grad_()
    some = replace(some, rows=replace(some.rows, logps=logps))
    loss = clip()(some)
    assert_close(loss, torch.tensor(-1.0))
    assert torch.autograd.grad(loss, logps)[0].isfinite().all()
