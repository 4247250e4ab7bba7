import pytest

from mllmrec.errors import Refusal
from tests.training.composing import config_of


def test_embeddings_that_are_spread_take_no_noise(root):
    with pytest.raises(Refusal, match="type parallel=ddp"):
        config_of(root, "algorithm=latent_r3", "parallel=fsdp")


def test_its_reward_goes_with_no_other_rollout(root):
    config_of(root, "algorithm=latent_r3")
    with pytest.raises(Refusal, match="type algorithm=latent_r3"):
        config_of(root, "algorithm=latent_r3", "algorithm/rollout=enumerate")


def test_noise_has_a_size(root):
    with pytest.raises(Refusal, match="sigma"):
        config_of(root, "algorithm=latent_r3", "algorithm.rollout.sigma=0")
