"""GRU4Rec's states are those of the recurrence written out; what all share is in test_sasrec."""

import pytest
import torch

from tests.recommender.cycle import ITEMS, LENGTH, knobs


def test_its_states_are_those_of_the_recurrence():
    """h = (1 − z)·n + z·h (Cho et al., 2014), from zeros."""
    torch.manual_seed(0)
    made = knobs("gru4rec", hidden_size=4).network(ITEMS, LENGTH).eval()
    gru, row = made.gru, torch.tensor([[3, 1, 2]])
    state = torch.zeros(4)
    with torch.inference_mode():
        for number in row[0]:
            reset, update, new = (
                gru.weight_ih_l0 @ made.item.weight[number] + gru.bias_ih_l0
            ).chunk(3)
            hidden = (gru.weight_hh_l0 @ state + gru.bias_hh_l0).chunk(3)
            reset, update = (reset + hidden[0]).sigmoid(), (update + hidden[1]).sigmoid()
            new = (new + reset * hidden[2]).tanh()
            state = (1 - update) * new + update * state
        assert torch.allclose(made.states(row)[0, -1], made.out(state), atol=1e-6)


def test_layers_stand_on_one_another():
    made = knobs("gru4rec", layers=3).network(ITEMS, LENGTH)
    assert made.gru.num_layers == 3


def test_there_is_a_layer():
    with pytest.raises(Exception, match="greater than or equal to 1"):
        knobs("gru4rec", layers=0)
