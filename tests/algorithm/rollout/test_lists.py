import pytest

from mllmrec.errors import Refusal
from tests.training.composing import config_of


def test_more_items_than_candidates_are_refused(root):
    config_of(root, "algorithm=rank_grpo", "prepare.train_protocol=uni4")
    with pytest.raises(Refusal, match=r"type algorithm\.rollout\.items=4"):
        config_of(root, "algorithm=rank_grpo", "prepare.train_protocol=uni3")


def test_the_line_that_asks_for_a_list_identifies_what_is_learnt(root):
    def known(algorithm, text):
        config = config_of(root, f"algorithm={algorithm}", f"prompt.listing={text}")
        return config.stages["grpo"].effective(config)

    assert known("rank_grpo", "one") != known("rank_grpo", "other")
    assert known("grpo", "one") == known("grpo", "other")
