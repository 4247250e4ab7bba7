from trl.trainer.utils import RepeatSampler

from mllmrec.training.grpo import judge
from mllmrec.training.grpo_trainer import EpochSampler


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


def test_a_reward_is_asked_with_the_row_it_belongs_to(config):
    reward = config.reward["hit_format"]
    asked = judge("hit_format", reward, {"1": "A", "2": "B", "3": "C"})
    texts = [[{"role": "assistant", "content": f"[ITEM_{n}]"}] for n in (1, 2, 3)]
    paid = asked(texts, target=["1", "1", "1"], candidates=[["1", "2"]] * 3, prompts=["same"] * 3)
    assert paid == [1.0, 0.3, -1.0]
    assert asked.__name__ == "hit_format"
