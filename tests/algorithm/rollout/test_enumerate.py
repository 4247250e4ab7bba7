"""The drawing itself is tested beside the trainer, in tests/training/test_rollouts.py."""

import pytest

from mllmrec.errors import Refusal
from tests.launching import config, ids


def test_null_is_what_a_decoder_would_do():
    rollout = config("algorithm/rollout=enumerate").algorithm.rollout
    assert (rollout.name, rollout.held, rollout.draws_candidates) == ("enumerate", "token", True)
    assert ids("algorithm.rollout.constraint=token") == ids()
    assert ids("algorithm.rollout.constraint=sequence")["grpo"] != ids()["grpo"]


@pytest.mark.parametrize("word", ["constraint=some", "temperature=0", "+top_p=0.9"])
def test_what_it_cannot_do_is_refused(word):
    path = f"+algorithm.rollout.{word[1:]}" if word[0] == "+" else f"algorithm.rollout.{word}"
    with pytest.raises(Refusal, match=r"algorithm\.rollout"):
        config(path)
