"""Lists of candidates: how they are written, and the loss of a step written out."""

from math import log2

import pytest
import torch

from mllmrec.answer import parse_list
from mllmrec.training.lists import Listing, longest, newline_of
from tests.plain import by_itself
from tests.training.composing import G, config_of, rows_of, training

WORDS = ["[ITEM_1] Dark River", "[ITEM_2] Golden Storm", "[ITEM_03] The < b>, Last"]


@pytest.fixture(scope="module")
def algorithm(root):
    return config_of(root, "algorithm=rank_grpo", "algorithm.rollout.items=2").algorithm


@pytest.fixture
def rows(tokenizer):
    return rows_of(tokenizer, {"the last": WORDS[0], "heart of storms": WORDS[2]}, WORDS)


@pytest.fixture
def train(model, tokenizer, rows, algorithm, tmp_path):
    return training(Listing, model, tokenizer, rows, algorithm, WORDS, tmp_path)


@pytest.mark.slow
def test_a_step_is_that_of_every_list_by_itself(train, rows, tokenizer):
    before, _, (gradient,), (batch,), _ = train()
    before.set_attn_implementation("eager")
    assert len(batch) == 2 * G
    terms, count = [], 0
    for n, row in enumerate(rows):
        mine = range(n * G, n * G + G)
        places = []
        for i in mine:
            text = tokenizer.decode(batch.completions[i], skip_special_tokens=True)
            assert [item for item, _, _ in batch.spans[i]] == text.split("\n")
            assert len(set(text.split("\n"))) == 2 and set(text.split("\n")) <= set(WORDS)
            assert len(parse_list(text)) == 2 and None not in parse_list(text)
            places.append(text.split("\n").index(row["target"]) if row["target"] in text else 9)
        for k in range(2):  # the DCG that is still to come, k from 0
            paid = torch.tensor([1 / log2(p + 2) if k <= p < 2 else 0.0 for p in places])
            found = (paid - paid.mean()) / (paid.std() + 1e-4)
            for i, value in zip(mine, found, strict=True):
                _, start, stop = batch.spans[i][k]
                assert batch.advantages[i, start:stop].tolist() == pytest.approx(
                    [value.item()] * (stop - start), abs=1e-5
                )
                logps, _ = by_itself(before, row["prompt_ids"], list(batch.completions[i]))
                terms.append(value * logps[start:stop].sum())
                count += stop - start
    assert count == batch.mask.sum()  # every token is of an item
    (-sum(terms) / count).backward()
    expected = [p.grad for p in before.parameters() if p.grad is not None]
    assert any(grad.abs().max() > 1e-4 for grad in expected)
    for ours, theirs in zip(gradient, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.slow
def test_charts(train):
    *_, (batch,), trainer = train()
    log = next(entry for entry in trainer.state.log_history if "lists/hit" in entry)
    found = [
        batch.samples[n].target in [item for item, _, _ in spans]
        for spans, n in zip(batch.spans, batch.owner.tolist(), strict=True)
    ]
    assert log["lists/hit"] == pytest.approx(sum(found) / len(found), abs=1e-3)
    assert log["lists/items"] == 2


def test_the_longest_list(tokenizer):
    # two answers of 5 and 4 tokens, ends and newlines included, are 9 where a newline is a token
    assert len(newline_of(tokenizer)) == 1
    answers = {"a": [1] * 5, "b": [2] * 3, "c": [3] * 4}
    assert longest(answers, 2, tokenizer) == 9 and longest(answers, None, tokenizer) == 5
