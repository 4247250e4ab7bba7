from math import exp, log
from types import SimpleNamespace

import pytest

from mllmrec.algorithm.group_reward.perplexity import Perplexity
from mllmrec.errors import Refusal
from tests.algorithm.batches import batch


def test_the_perplexity_of_an_answer():
    # a has three tokens, c two: log-probabilities of −3 and −1 in all
    made = batch({"a": ["a"], "c": ["c"]}, sums=[-3.0, -1.0])
    assert Perplexity(weight=1.0, form="neg_ppl")(made).tolist() == pytest.approx(
        [-exp(1), -exp(0.5)]
    )
    assert Perplexity(weight=1.0, form="logp")(made).tolist() == pytest.approx([-1.0, -0.5])


def test_of_a_fair_choice_it_is_the_number_of_choices():
    made = batch({"a": ["a"]}, sums=[3 * log(0.25)])
    assert Perplexity(weight=1.0, form="neg_ppl")(made).tolist() == pytest.approx([-4.0])


def test_it_is_for_rows_that_are_the_targets_answer():
    def config(name):
        return SimpleNamespace(algorithm=SimpleNamespace(rollout=SimpleNamespace(name=name)))

    part = Perplexity(weight=1.0, form="logp")
    part.check(config("latent"))
    with pytest.raises(Refusal, match="type algorithm=latent_r3"):
        part.check(config("enumerate"))
