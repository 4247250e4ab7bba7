"""SASRec learns what can be learnt, looks back alone, and each row is by itself."""

import numpy as np
import pytest
import torch

from mllmrec.errors import Refusal
from mllmrec.recommender import networks
from mllmrec.recommender.fitted import catalogue_of
from mllmrec.recommender.fitting import scored
from tests.recommender.cycle import ITEMS, LENGTH, fitted, item, knobs

BACKWARD = ("sasrec", "gru4rec", "sasrec_cql")  # what is known at a place is of those up to it
EVERY = (*BACKWARD, "bert4rec")
LEARNS = {
    "sasrec": {"max_epochs": 8},
    "gru4rec": {"max_epochs": 20, "learning_rate": 2e-2},
    "sasrec_cql": {"max_epochs": 10},
    "bert4rec": {"max_epochs": 30, "patience": 30, "mask_share": 0.15, "last_share": 0.8},
}


def network(name, **more):
    torch.manual_seed(0)
    made = knobs(name, **more).network(ITEMS, LENGTH).eval()
    with torch.no_grad():  # far from its beginning, so that nothing hides in small numbers
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return made


@pytest.mark.parametrize("name", EVERY)
def test_it_learns_a_circle(name, circle, tmp_path):
    """The next item is the one after the last; of 24 items."""
    found = fitted(knobs(name, **LEARNS[name]), circle, tmp_path)
    assert found["ndcg@10"] > 0.97
    catalogue = catalogue_of(tmp_path, circle)
    test = circle.samples("test")
    scores = catalogue(test["history"].to_list())
    assert scores.shape == (72, ITEMS) and scores.dtype == np.float32
    targets = [int(target[1:]) for target in test["target"]]
    assert (scores.argmax(axis=1) == targets).mean() > 0.9


@pytest.mark.parametrize("name", BACKWARD)
def test_what_comes_later_changes_nothing_before(name):
    one = torch.tensor([[1, 2, 3, 4, 5]])
    other = torch.tensor([[1, 2, 3, 9, 0]])
    made = network(name)
    with torch.inference_mode():
        first, second = made.states(one)[0], made.states(other)[0]
    assert torch.equal(first[:3], second[:3])
    assert not torch.allclose(first[3], second[3])


@pytest.mark.parametrize("name", EVERY)
def test_each_place_tells_what_its_history_alone_does(name):
    """Of a row of five, the score after three is that of a history of three."""
    made, row = network(name), torch.tensor([[7, 1, 4, 4, 2]])
    with torch.inference_mode():
        alone = made.scores(row[:, :3])
        if name != "bert4rec":  # it has a place of its own for what comes next
            assert torch.allclose(made.logits(made.states(row))[:, 2], alone, atol=1e-5)
        assert not torch.allclose(made.scores(row[:, [1, 0, 2]]), alone)  # order is seen


@pytest.mark.parametrize("name", EVERY)
def test_company_of_other_lengths_changes_nothing(name):
    histories = [np.array(row) for row in ([1, 2, 3], [4], [5, 6, 7, 8, 9], [2, 1], [3])]
    made = network(name)
    together = scored(made, histories)
    for row, history in zip(together, histories, strict=True):
        assert np.allclose(row, scored(made, [history])[0], atol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_the_loss_is_the_cross_entropy_of_what_is_told(name):
    """By hand, from the scores after each history; a place that is not told counts nothing."""
    if name in ("bert4rec", "sasrec_cql"):
        pytest.skip("has a loss of its own")
    made = network(name)
    rows = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    told = torch.tensor([[False, False, True, True], [False, True, False, False]])
    by_hand = [
        -made.scores(rows[row : row + 1, :place]).log_softmax(-1)[0, rows[row, place]].item()
        for row, place in ((0, 2), (0, 3), (1, 1))
    ]
    found = made.loss(rows, told, np.random.default_rng(0)).item()
    assert found == pytest.approx(sum(by_hand) / 3, abs=1e-4)


def learnt(made, rows, told):
    """The loss, and its gradient by each weight."""
    made.zero_grad()
    loss = made.loss(rows, told, np.random.default_rng(0))
    loss.backward()
    return loss.item(), {name: w.grad for name, w in made.named_parameters() if w.requires_grad}


@pytest.mark.parametrize("name", EVERY)
def test_a_loss_in_parts_is_that_of_the_whole(name, monkeypatch):
    """Five states at once, or one row of both Q heads; all its gradients too."""
    made = network(name)
    rows = torch.randint(ITEMS, (9, LENGTH + 1))
    told = torch.arange(LENGTH + 1) > torch.arange(9)[:, None] % LENGTH  # unequal shares
    loss, gradients = learnt(made, rows, told)
    sizes, linear = [], torch.nn.functional.linear

    def counting(states, weight, bias=None):
        if len(weight) == ITEMS:
            sizes.append(states.shape[:-1].numel())
        return linear(states, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", counting)
    monkeypatch.setattr(networks, "CELLS", 5 * ITEMS)
    parts, pieces = learnt(made, rows, told)
    assert len(sizes) > 4 and max(sizes) <= 5
    assert parts == pytest.approx(loss, rel=1e-5)
    for weight, gradient in gradients.items():
        assert torch.allclose(pieces[weight], gradient, rtol=1e-4, atol=1e-5), weight


def test_a_history_that_is_too_long_counts_by_its_last_items(circle, tmp_path):
    fitted(knobs("sasrec", max_epochs=1), circle, tmp_path)
    catalogue = catalogue_of(tmp_path, circle)
    long = [item(n) for n in range(9)]
    assert np.array_equal(catalogue([long]), catalogue([long[-LENGTH:]]))


def test_heads_divide_the_width():
    with pytest.raises(Exception, match="heads divide hidden_size, not 3 and 16"):
        knobs("sasrec", heads=3)


def test_a_loss_that_is_not_finite_is_refused(circle, tmp_path):
    with pytest.raises(
        Refusal, match=r"loss has become nan.*type recommender\.sasrec\.learning_rate=1\.0e\+29"
    ):
        fitted(knobs("sasrec", learning_rate=1e30, max_epochs=3), circle, tmp_path)
