from types import SimpleNamespace

import numpy as np
import torch
from trl.trainer.utils import RepeatSampler

from mllmrec.training.grpo import judge
from mllmrec.training.grpo_trainer import EnumeratingTrainer, EpochSampler, Trainer


def epochs(sampler, count):
    orders = []
    for epoch in range(count):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    return orders


def sampler_of(kind=EpochSampler):
    made = RepeatSampler(list(range(8)), mini_repeat_count=2, batch_size=4, shuffle=True, seed=3)
    made.__class__ = kind
    return made


def test_a_run_resumed_in_epoch_two_sees_epoch_twos_order():
    first, second = epochs(sampler_of(), 2)
    assert first != second and sorted(first) == sorted(second)
    resumed = sampler_of()
    resumed.set_epoch(1)
    assert list(resumed) == second


def test_trl_still_needs_this_sampler():
    """The defect that the sampler mends: without it a fresh process replays epoch 0."""
    stock = sampler_of(RepeatSampler)
    first, second = list(stock), list(stock)
    assert first != second and list(sampler_of(RepeatSampler)) == first


class Whole(Trainer):
    """A trainer with the parts that the method under test uses."""

    def __init__(self):
        pass

    temperature = 0.7

    class accelerator:
        @staticmethod
        def autocast():
            return torch.autocast("cpu", enabled=False)


def test_log_probabilities_and_entropies_are_those_of_the_plain_forward(model):
    model.eval()
    torch.manual_seed(0)
    ids = torch.randint(3, 200, (5, 12))
    mask = torch.ones_like(ids)
    mask[0, :4] = 0  # left padding
    with torch.inference_mode():
        logps, entropies, aux = Trainer._get_per_token_logps_and_entropies(
            Whole(), model, ids, mask, 3, batch_size=2, compute_entropy=True
        )
        every = (model(input_ids=ids, attention_mask=mask).logits / 0.7).log_softmax(-1)
    expected = every[:, :-1].gather(-1, ids[:, 1:, None])[..., 0][:, -3:]
    plain = -(every.exp() * every).sum(-1)[:, -4:-1]
    assert torch.allclose(logps, expected, atol=1e-5)
    assert torch.allclose(entropies, plain, atol=1e-4)
    assert aux is None


def test_a_reward_is_asked_with_the_row_it_belongs_to(config):
    reward = config.reward["hit_format"]
    asked = judge("hit_format", reward, {"1": "A", "2": "B", "3": "C"})
    texts = [[{"role": "assistant", "content": f"[ITEM_{n}]"}] for n in (1, 2, 3)]
    paid = asked(texts, target=["1", "1", "1"], candidates=[["1", "2"]] * 3, prompts=["same"] * 3)
    assert paid == [1.0, 0.3, -1.0]
    assert asked.__name__ == "hit_format"


class Drawing(EnumeratingTrainer):
    """A trainer that can only draw."""

    num_generations = 8

    def __init__(self, step):
        self.rows = [None] * 8
        self.accelerator = SimpleNamespace(process_index=0)
        self.args, self.state = SimpleNamespace(seed=1), SimpleNamespace(global_step=step)


def test_draws_follow_the_distribution_of_the_candidates():
    scores = [0.0, -1.0, -4.0]
    counts = np.zeros(3)
    for step in range(1500):
        trainer = Drawing(step)
        for place in range(8):
            counts[trainer.draw(scores, "u:3", place)] += 1
    expected = np.exp(np.array(scores))
    expected *= counts.sum() / expected.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi-square, 2 d.f., p = 0.001


def test_draws_depend_on_step_sample_and_place_alone():
    scores = [0.0] * 50
    one = [Drawing(3).draw(scores, "u:3", place) for place in range(8)]
    assert one == [Drawing(3).draw(scores, "u:3", place) for place in range(8)]
    assert one != [Drawing(4).draw(scores, "u:3", place) for place in range(8)]
    assert one != [Drawing(3).draw(scores, "v:3", place) for place in range(8)]
    assert len(set(one)) > 1
