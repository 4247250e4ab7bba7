import pytest
from torch.testing import assert_close

from mllmrec.algorithm.kl.frozen import Frozen
from mllmrec.algorithm.kl.synced import Synced
from mllmrec.errors import Refusal
from tests.algorithm.trl_loss import drawn
from tests.launching import config


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_the_estimates_are_those_of_a_frozen_reference(estimator):
    rows, knobs = drawn(2).rows, {"estimator": estimator, "bias_correction": False}
    assert_close(Synced(every=3, **knobs)(rows), Frozen(**knobs)(rows))


def test_trl_syncs_no_adapters():
    assert Synced(every=3, estimator="k3", bias_correction=False).trl() == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grpo.max_steps=15"], r"kl.every=15: .* grpo.max_steps=15 .* algorithm/kl=frozen"),
        (["algorithm.kl.every=0"], r"kl.every=0"),
    ],
)
def test_a_reference_that_is_never_replaced_is_refused(words, said):
    with pytest.raises(Refusal, match=said):
        config("algorithm/kl=synced", *words)


def test_it_may_be_as_long_as_it_is_replaced_once():
    assert config("algorithm/kl=synced", "grpo.max_steps=16").algorithm.kl.every == 15
