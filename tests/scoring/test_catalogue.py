"""A whole catalogue behind every prompt: the numbers of each answer by itself, in bounded parts."""

import random

import numpy as np
import pytest

from mllmrec.scoring import catalogue
from mllmrec.scoring.catalogue import catalogue_logps, forest
from mllmrec.scoring.choosers import leaves_of, pruned, tree
from mllmrec.scoring.decode import searched
from tests.plain import EOS, VOCAB, plain, ragged

BUDGET = 100_000


def answers_of(seed, count=60):
    """Distinct answers that share beginnings; none begins another."""
    rng, found = random.Random(seed), set()
    while len(found) < count:
        found.add((*rng.choices((5, 6, 7), k=rng.randint(0, 5)), EOS))
    return [list(answer) for answer in rng.sample(sorted(found), count)]


def whole(model, prompts, answers, budget=BUDGET):
    return np.concatenate([table for _, table in catalogue_logps(model, prompts, answers, budget)])


@pytest.fixture(scope="module")
def alone(model):
    """Prompts, answers, and the score of each answer behind each prompt in a plain forward."""
    prompts, answers = ragged(1)[0], answers_of(1)
    return prompts, answers, np.array(plain(model, prompts, [answers] * len(prompts)))


@pytest.mark.parametrize("budget", [1, 40, 200, BUDGET])
def test_scores_are_those_of_a_plain_forward_of_each_answer(model, alone, budget):
    prompts, answers, expected = alone
    found = whole(model, prompts, answers, budget)
    assert found == pytest.approx(expected, abs=2e-4)
    done: list[int] = []
    assert len([*catalogue_logps(model, prompts, answers, budget, progress=done.append)]) == 1
    assert sum(done) == len(prompts) and (len(done) == len(prompts) if budget == 1 else True)
    assert (np.argsort(-found) == np.argsort(-expected)).all()


def test_few_logits_and_few_scores_at_once_change_nothing(model, monkeypatch):
    prompts, answers = ragged(2)[0], answers_of(2)
    expected = whole(model, prompts, answers)
    monkeypatch.setattr(catalogue, "LOGITS", 10 * VOCAB)
    monkeypatch.setattr(catalogue, "CELLS", 2 * len(answers))
    parts = [*catalogue_logps(model, prompts, answers, BUDGET)]
    assert [(some.start, some.stop) for some, _ in parts] == [(0, 2), (2, 4), (4, 6)]
    assert np.concatenate([table for _, table in parts]) == pytest.approx(expected, abs=1e-4)


def shapes(model, work):
    """The numbers of tokens that the model is fed at a time, and of logits it gives."""
    fed, heads = [], []
    hooks = [
        model.register_forward_pre_hook(
            lambda _, args, kwargs: fed.append(kwargs["input_ids"].numel()), with_kwargs=True
        ),
        model.lm_head.register_forward_hook(lambda _, args, out: heads.append(out[0].shape[-2])),
    ]
    work()
    for hook in hooks:
        hook.remove()
    return fed, heads


def test_answers_of_one_token_are_one_pass_over_the_prompts(model):
    prompts = ragged(3)[0]
    fed, _ = shapes(model, lambda: whole(model, prompts, [[token] for token in range(3, VOCAB)]))
    assert fed == [sum(map(len, prompts))]


@pytest.mark.parametrize(("budget", "most"), [(64, 64), (BUDGET, 20)])
def test_what_is_held_at_once_is_bounded(model, monkeypatch, budget, most):
    monkeypatch.setattr(catalogue, "LOGITS", most * VOCAB)
    prompts, answers = ragged(4)[0], answers_of(4, 200)
    fed, heads = shapes(model, lambda: whole(model, prompts, answers, budget))
    longest = max(map(len, prompts)) + max(map(len, answers)) + most
    assert max(heads) <= most + 5 and max(fed) <= max(budget, longest)


@pytest.mark.parametrize("most", [1, 7, 50, 10_000])
def test_parts_hold_every_answer_once(most):
    answers = answers_of(5, 150)
    found = forest(answers, most)
    assert sorted(a for part in found.parts for a in part.answers) == list(range(150))
    for part in found.parts:
        assert len(part.tokens) == sum(len(answers[a]) for a in part.answers)
        assert part.size <= most + 5


def exact_orders(model, prompts, answers, barred):
    tables = whole(model, prompts, answers)
    return [
        [tuple(answers[i]) for i in np.argsort(-row) if i not in out]
        for row, out in zip(tables, barred, strict=True)
    ]


@pytest.mark.parametrize("budget", [1, BUDGET])
def test_a_beam_as_wide_as_the_catalogue_is_the_exact_order(model, budget):
    prompts, answers = ragged(6)[0], answers_of(6)
    rng = random.Random(6)
    barred = [set(rng.sample(range(len(answers)), rng.randint(0, 50))) for _ in prompts]
    root, room = tree(answers), max(map(len, answers))
    found = searched(
        model, prompts, lambda i: pruned(root, [answers[j] for j in barred[i]]), len(answers),
        room=room, pad_id=0, tokens_per_batch=budget,
    )  # fmt: skip
    told = [[tuple(one.tokens) for one in beams] for beams in found]
    assert told == exact_orders(model, prompts, answers, barred)
    assert [len(row) for row in told] == [len(answers) - len(out) for out in barred]


def test_a_narrow_beam_finds_candidates_alone(model):
    prompts, answers = ragged(7)[0], answers_of(7)
    root = tree(answers)
    best = exact_orders(model, prompts, answers, [()] * len(prompts))
    found = searched(
        model, prompts, lambda i: pruned(root, best[i][:3]), 4, room=6, pad_id=0,
        tokens_per_batch=BUDGET,
    )  # fmt: skip
    for beams, order in zip(found, best, strict=True):
        told = [tuple(one.tokens) for one in beams]
        assert len(told) == 4 and not set(told) & set(order[:3])


def test_pruning_leaves_the_shared_trie_as_it_is():
    root = tree([[1, 2, 9], [1, 3, 9], [4, 9]])
    assert pruned(root, [[1, 2, 9], [4, 9]]) == {1: {3: {9: {}}}}
    assert pruned(root, [[1, 2, 9], [1, 3, 9]]) == {4: {9: {}}}
    assert root == tree([[1, 2, 9], [1, 3, 9], [4, 9]])
    assert len([*leaves_of(root)]) == 3
    with pytest.raises(ValueError, match="no answer is left"):
        pruned(root, [[1, 2, 9], [4, 9], [1, 3, 9]])


@pytest.mark.parametrize("answers", [[], [[]], [[1], [1, 2]], [[1, 2], [1]]])
def test_an_answer_that_begins_another_is_refused(answers):
    with pytest.raises(ValueError, match="begins another"):
        tree(answers)
