"""What TRL's trainer, as we run it, makes of rewards."""

import pytest

from mllmrec.training.grpo import judge
from mllmrec.training.rollouts import Enumerating
from tests.training.test_rollouts import trainer_of

ITEMS = ["1", "2", "03"]


@pytest.fixture
def gradients(config, prepared, model, tokenizer, tmp_path):
    """A function from knobs of the published reward to the gradient of one step by it."""
    chat = [{"role": "user", "content": "What is next?"}]
    settings = {"add_generation_prompt": True, "enable_thinking": False, "return_dict": True}
    ids = tokenizer.apply_chat_template(chat, **settings)["input_ids"]
    row = {"prompt": chat, "prompt_ids": ids, "candidates": ITEMS, "target": "1"}
    rows = [{"sample_id": str(n), **row} for n in range(3)]
    end = tokenizer.eos_token_id
    answers = {item: [*tokenizer(f"[ITEM_{item}]")["input_ids"], end] for item in ITEMS}

    def run(scale="group", **pays):
        made, keep = trainer_of(
            *(Enumerating, model, tokenizer, rows, answers, tmp_path),
            words=[f"algorithm.advantage.scale={scale}"],
            group=8,
            max_steps=1,
            reward_weights=[1.0],
        )
        reward = config.reward["hit_format"].model_copy(update=pays)
        made.reward_funcs = [judge("hit_format", reward, prepared.titles)]
        made.reward_func_names = ["hit_format"]
        made.train()
        return keep.gradients[0]

    return run


def test_what_is_paid_for_a_miss_is_of_no_weight_once_every_answer_is_a_candidate(gradients):
    """Rewards are standardised in a group: 1 against 0.3 is 1 against 0, or against -5."""
    published = gradients(miss=0.3)
    assert published.norm() > 1e-3
    for miss in (0.0, -5.0):
        assert (gradients(miss=miss) - published).norm() < 1e-3 * published.norm()
    plain = gradients("none", miss=0.3)  # where they are not, it is
    assert (gradients("none", miss=0.0) - plain).norm() > 0.1 * plain.norm()
