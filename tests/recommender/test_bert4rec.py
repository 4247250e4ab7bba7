"""BERT4Rec hides what it is asked for; what all share is in test_sasrec."""

import numpy as np
import pytest
import torch

from tests.recommender.cycle import ITEMS, LENGTH, knobs


def network(**more):
    torch.manual_seed(0)
    return knobs("bert4rec", **more).network(ITEMS, LENGTH).eval()


def hidden(made, rows, seed=0):
    return made.hidden(rows, np.random.default_rng(seed)).numpy()


def test_at_least_one_item_is_hidden_and_about_the_share():
    table = hidden(network(mask_share=0.3, last_share=0.0), (4000, 6))
    assert table.any(axis=1).all()
    # at least one: 0.3 · 6 + 0.7⁶ (none of its own) = 1.918 of 6
    assert table.sum(axis=1).mean() == pytest.approx(1.8 + 0.7**6, abs=0.06)


def test_a_share_of_the_rows_hides_the_last_alone():
    table = hidden(network(mask_share=0.9, last_share=0.4), (4000, 6))
    alone = table[:, -1] & (table.sum(axis=1) == 1)
    assert alone.mean() == pytest.approx(0.4, abs=0.03)


def test_a_hidden_item_is_seen_by_nothing():
    """Other items in the hidden places change no score, only what is asked."""
    made = network()
    rows = torch.tensor([[1, 2, 3, 4, 5, 6]] * 2)
    mask = made.hidden(rows.shape, np.random.default_rng(1))
    other = torch.where(mask, (rows + 9) % ITEMS, rows)
    seen = []
    states = made.states
    made.states = lambda rows: seen.append(rows) or states(rows)
    one = made.loss(rows, torch.ones_like(rows).bool(), np.random.default_rng(1))
    two = made.loss(other, torch.ones_like(rows).bool(), np.random.default_rng(1))
    assert torch.equal(*seen) and (seen[0][mask] == made.count).all()
    assert one.item() != two.item()


def test_the_loss_is_the_cross_entropy_of_the_hidden_items():
    made = network(mask_share=0.5, last_share=0.0)
    rows = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    mask = made.hidden(rows.shape, np.random.default_rng(2))
    logps = made.logits(made.states(rows.masked_fill(mask, ITEMS))).log_softmax(-1)
    by_hand = -torch.stack([logps[r, p, rows[r, p]] for r, p in mask.nonzero()]).mean()
    found = made.loss(rows, torch.ones_like(rows).bool(), np.random.default_rng(2))
    assert found.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_it_ranks_by_a_hidden_item_after_the_history():
    made = network()
    rows = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        asked = torch.tensor([[1, 2, 3, ITEMS]])
        assert torch.equal(made.scores(rows), made.logits(made.states(asked)[:, -1]))
    assert made.scores(rows).shape == (1, ITEMS)  # what stands for a hidden item is no item


def test_both_sides_are_seen():
    made = network()
    with torch.inference_mode():
        first = made.states(torch.tensor([[ITEMS, 2, 3]]))[0, 0]
        other = made.states(torch.tensor([[ITEMS, 2, 4]]))[0, 0]
    assert not torch.allclose(first, other)
