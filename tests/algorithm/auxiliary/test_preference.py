from collections import defaultdict
from math import exp, log
from types import SimpleNamespace

import pytest
import torch

from mllmrec.algorithm.auxiliary.preference import Preference
from mllmrec.algorithm.batch import Rows
from tests.algorithm.batches import batch, terms


def part(gold=False, beta=0.5):
    return Preference(weight=1.0, beta=beta, gold=gold)


def softplus(x):
    return log(1 + exp(x))


def spread(*sums):
    """Log-probabilities of completions, all on the first of three tokens."""
    return torch.tensor([[value, 0.0, 0.0] for value in sums])


def test_hits_are_held_against_misses_of_their_own_group():
    # Δ: group a hits 0.4 and 0.2, miss −0.2; group b miss 3, 3; group c all hits
    made = batch({"a": ["a", "b", "a"], "b": ["c", "a"], "c": ["c", "c"]})
    given = terms(made, spread(-0.6, -1.2, -0.8, 0, 0, 0, 0), ref=spread(-1, -1, -1, -3, -3, 0, 0))
    found = part()(given, None).item()
    assert found == pytest.approx((softplus(-0.5 * 0.6) + softplus(-0.5 * 0.4)) / 2, abs=1e-6)
    assert made.charts == {
        "auxiliary/preference/share": pytest.approx(1 / 3),
        "auxiliary/preference/pairs": 2,
        "auxiliary/preference/margin": pytest.approx(0.5),
        "auxiliary/preference/accuracy": 1.0,
    }


def test_pairs_of_all_groups_are_averaged_together():
    # one pair of margin 0 in a, two of margin 1 in b
    made = batch({"a": ["a", "b"], "b": ["b", "a", "c"]})
    given = terms(made, spread(0, 0, 1, 0, 0), ref=spread(0, 0, 0, 0, 0))
    expected = (softplus(0) + 2 * softplus(-0.5)) / 3
    assert part()(given, None).item() == pytest.approx(expected, abs=1e-6)


def test_no_group_has_both():
    made = batch({"a": ["a", "a"], "b": ["c", "a"]})
    given = terms(made, spread(0, 0, 0, 0), ref=spread(0, 0, 0, 0))
    assert part().others(made) == ()
    assert part()(given, None).item() == 0.0
    assert made.charts["auxiliary/preference/pairs"] == 0


def test_the_target_stands_in_as_the_hit_where_there_is_none():
    made = batch({"a": ["a", "b"], "b": ["c", "a"]})
    assert part(gold=True).others(made) == [(1, (1, 3, 9))]
    given = terms(made, spread(0, 0, 0, 0), ref=spread(0, 0, 0, 1))
    gold = Rows(
        owner=torch.tensor([1]),
        logps=spread(2),
        old=spread(2),
        ref=spread(0),
        mask=torch.ones(1, 3),
        weights=torch.ones(1, 3),
    )
    # margins 0 in a; 2 and 3 in b
    expected = (softplus(0) + softplus(-1) + softplus(-1.5)) / 3
    assert part(gold=True)(given, gold).item() == pytest.approx(expected, abs=1e-6)


def test_a_prompt_without_rows_asks_for_nothing():
    assert part(gold=True).others(batch({"a": ["b"], "b": ["b"]}).take([1])) == []


def test_token_weights_count():
    made = batch({"a": ["a", "b"]})
    logps, ref = torch.tensor([[1.0, 1.0, 1.0], [0.0] * 3]), torch.zeros(2, 3)
    given = terms(made, logps, ref=ref, weights=torch.tensor([[1.0, 0.5, 0.1]] * 2))
    assert part()(given, None).item() == pytest.approx(softplus(-0.5 * 1.6), abs=1e-6)


def test_it_is_the_loss_of_trl():
    from trl.trainer.dpo_trainer import DPOTrainer

    generator = torch.Generator().manual_seed(5)
    made = batch({"a": ["a", "b"], "c": ["c", "d"], "d": ["b", "d"]})
    logps, ref = -torch.rand(6, 4, generator=generator), -torch.rand(6, 4, generator=generator)
    order = [0, 2, 5, 1, 3, 4]  # hits, then misses
    padded = torch.nn.functional.pad(made.mask[order], (1, 0))  # TRL scores from token 1 on
    own, others = (logps * made.mask)[order], (ref * made.mask)[order].sum(1)
    charted = {"entropy": own, "mean_logits": own, "is_top1": own > 0}
    same = {"gather": lambda value: value, "gather_for_metrics": lambda value: value}
    stand_in = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(device="cpu", **same),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        beta=0.3,
        use_weighting=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
    )
    inputs = {
        "input_ids": padded.long(),
        "completion_mask": padded,
        "ref_chosen_logps": others[:3],
        "ref_rejected_logps": others[3:],
    }

    def model(**_):
        return SimpleNamespace(log_probs=own, **charted)

    expected = DPOTrainer._compute_loss(stand_in, model, inputs, False)
    found = part(beta=0.3)(terms(made, logps, ref=ref), None)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    assert made.charts["auxiliary/preference/pairs"] == 3
    margins = stand_in._metrics["eval"]["rewards/margins"]
    assert margins == pytest.approx([0.3 * made.charts["auxiliary/preference/margin"]], abs=1e-6)
