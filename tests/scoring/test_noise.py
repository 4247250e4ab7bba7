"""Scores under noise are those of the answer by itself, behind a prompt whose end is shifted."""

import pickle

import numpy as np
import pytest
import torch

from mllmrec.scoring.book import book_of, pairs_in
from mllmrec.scoring.noise import Noise, Tried, tried
from mllmrec.scoring.packed import token_logps
from mllmrec.scoring.trie import pack
from tests.plain import EOS, eager, gradient_of

PROMPT, ANSWER, OTHER = [4, 9, 3], (5, 6, EOS), (7, EOS)


def shifted(model, prompt, answer, shift):
    """Log-probabilities of an answer's tokens, the last token of its prompt moved by ``shift``."""
    embedded = model.get_input_embeddings()(torch.tensor([[*prompt, *answer]]))
    moved = torch.zeros_like(embedded)
    scale = embedded[0, len(prompt) - 1].detach().square().mean().sqrt()
    moved[0, len(prompt) - 1] = scale * torch.from_numpy(shift)
    logits = model(inputs_embeds=embedded + moved, use_cache=False).logits[0]
    logps = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return logps.gather(-1, torch.tensor(answer)[:, None])[:, 0]


def rows():
    """Two prompts: one with three tries of its answer, the first without noise; and one plain."""
    noisy = tried(PROMPT, [ANSWER, Tried(ANSWER, 11), Tried(ANSWER, 12)], sigma=0.5)
    return [noisy, pack([8, 8], [ANSWER, OTHER]), tried([6], [Tried(OTHER, 13)], sigma=0.5)]


def alone(model):
    """The same, each by itself."""
    other = eager(model)
    drawn = Noise(seeds=[None, 11, 12, 13], sigma=0.5).drawn(32)
    zero = np.zeros(32, dtype=np.float32)
    cases = [
        *((PROMPT, ANSWER, drawn[n]) for n in range(3)),
        *(([8, 8], ANSWER, zero), ([8, 8], OTHER, zero), ([6], OTHER, drawn[3])),
    ]
    return other, torch.cat([shifted(other, *case) for case in cases])


def test_scores_and_gradients_are_those_of_each_by_itself(model):
    found = token_logps(model, rows()).logps
    other, expected = alone(model)
    assert torch.allclose(found, expected, atol=1e-5)
    weights = torch.linspace(-1, 1, len(found))
    gradient = gradient_of(model, found @ weights)
    assert torch.allclose(gradient, gradient_of(other, expected @ weights), atol=1e-4)


def test_without_seeds_it_is_plain_scoring(model):
    row = tried(PROMPT, [ANSWER, OTHER], sigma=0.5)
    plain = token_logps(model, [pack(PROMPT, [ANSWER, OTHER])])
    assert torch.allclose(token_logps(model, [row]).logps, plain.logps, atol=1e-6)


def test_noise_is_of_its_seed_and_its_size():
    drawn = Noise(seeds=[None, 3, 4, 3], sigma=0.5).drawn(20_000)
    assert not drawn[0].any()
    assert (drawn[1] == drawn[3]).all() and (drawn[1] != drawn[2]).any()
    assert drawn[1].std() == pytest.approx(0.5, abs=0.01)
    assert drawn[1].mean() == pytest.approx(0, abs=0.01)


def test_tries_of_one_answer_are_told_apart_by_their_seeds(model):
    one, other = Tried(ANSWER, 1), Tried(ANSWER, 2)
    assert one == Tried(ANSWER, 1) and hash(one) == hash(Tried(ANSWER, 1))
    assert one != other and one != ANSWER
    assert len({ANSWER, one, other, Tried(ANSWER, 2)}) == 3
    assert pickle.loads(pickle.dumps(one)) == one and [*one] == [*ANSWER]
    row = rows()[0]
    scores = token_logps(model, [row])
    found, _ = book_of([row], scores).look_up(pairs_in(row), 3)
    assert torch.equal(found.flatten(), scores.logps)
    assert len({tuple(line) for line in found.tolist()}) == 3
