"""The target's answer under noise: the loss and its gradient beside the same written out."""

import pytest
import torch

from mllmrec.scoring.noise import Noise
from mllmrec.seeds import seed_for
from mllmrec.training.latent import Trying
from tests.scoring.test_noise import shifted
from tests.training.composing import SEED, G, config_of, rows_of, training

WORDS = ["dark river", "golden storm", "heart"]


@pytest.fixture(scope="module")
def algorithm(root):
    return config_of(root, "algorithm=latent_r3").algorithm


@pytest.fixture
def rows(tokenizer):
    return rows_of(tokenizer, {"the last": "heart", "heart of storms": "golden storm"}, WORDS)


@pytest.fixture
def train(model, tokenizer, rows, algorithm, tmp_path):
    return training(Trying, model, tokenizer, rows, algorithm, WORDS, tmp_path)


def expected(model, answers, rows, sigma=0.5):
    """Rewards, advantages and gradient of the first step, every try in a sequence of its own."""
    model.set_attn_implementation("eager")
    found = []
    for row in rows:
        seeds = [seed_for(SEED, "latent", 0, row["sample_id"], place) for place in range(1, G)]
        for shift in Noise(seeds=[None, *seeds], sigma=sigma).drawn(32):
            found.append(shifted(model, row["prompt_ids"], answers[row["target"]], shift))
    paid = torch.stack([1 - torch.exp(-logps.detach().mean()) for logps in found])
    apart = paid - paid[[0, G]].mean()  # of those without noise
    advantages = apart / (apart.norm() + 1e-6)
    count = sum(map(len, found))
    loss = -sum(a * logps.sum() for a, logps in zip(advantages, found, strict=True)) / count
    loss.backward()
    gradient = [p.grad for p in model.parameters() if p.grad is not None]
    return paid, advantages, gradient


@pytest.mark.slow
@pytest.mark.parametrize("budget", [9999, 20])
def test_a_step_is_that_of_every_try_by_itself(train, rows, budget):
    before, answers, gradients, (batch,), _ = train(budget)
    paid, advantages, gradient = expected(before, answers, rows)
    assert torch.allclose(batch.rewards, paid, rtol=1e-4)
    assert torch.allclose(batch.advantages, advantages, atol=1e-5)
    assert len(set(paid.tolist())) == 2 * G
    assert batch.items == [row["target"] for row in rows for _ in range(G)]
    for ours, theirs in zip(gradients[0], gradient, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.slow
def test_every_step_has_noise_of_its_own(train):
    *_, batches, trainer = train(steps=2)
    first, second = ({c.seed for c in b.completions if hasattr(c, "seed")} for b in batches)
    assert len(first) == len(second) == 2 * (G - 1) and not first & second
    log = [entry for entry in trainer.state.log_history if "groups/unique" in entry]
    assert [entry["groups/unique"] for entry in log] == [G, G]


@pytest.mark.slow
def test_several_passes_over_the_tries_of_a_step(train):
    *_, gradients, batches, _ = train(steps=2, num_iterations=2, beta=0.1)
    assert len(batches) == 1 and len(gradients) == 2
    assert not torch.equal(gradients[0][1], gradients[1][1])
