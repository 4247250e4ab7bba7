"""What a CPU cannot show: the same numbers on CUDA, in float32 and bfloat16."""

import copy

import pytest

from mllmrec.scoring.decode import greedy
from mllmrec.scoring.packed import answer_logps, token_logps
from mllmrec.scoring.trie import pack
from tests.plain import EOS, gradient_of, plain, ragged, sharp_model

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def model():
    return sharp_model()


@pytest.fixture
def cuda(model):
    return copy.deepcopy(model).cuda()


@pytest.mark.parametrize("budget", [60, 100_000])
def test_scores_on_cuda_are_those_of_the_cpu(model, cuda, budget):
    prompts, answers = ragged(3)
    found = answer_logps(cuda, prompts, answers, budget)
    for row, other in zip(found, plain(model, prompts, answers), strict=True):
        assert row == pytest.approx(other, abs=1e-3, rel=1e-4)


def test_bfloat16_on_cuda_differs_by_its_rounding_alone(model, cuda):
    prompts, answers = ragged(3)
    found = answer_logps(cuda.bfloat16(), prompts, answers, 100_000)
    for row, other in zip(found, plain(model, prompts, answers), strict=True):
        assert row == pytest.approx(other, abs=0.3, rel=0.05)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_on_cuda_are_those_of_the_cpu(model, cuda, checkpointing):
    prompts, answers = ragged(4)
    rows = [pack(p, these, nodes=9) for p, these in zip(prompts, answers, strict=True)]
    other = copy.deepcopy(model).train()
    expected = gradient_of(other, token_logps(other, rows).logps.sum())
    cuda.train()
    if checkpointing:
        cuda.gradient_checkpointing_enable()
    found = gradient_of(cuda, token_logps(cuda, rows).logps.sum()).cpu()
    assert (found - expected).norm() < 1e-3 * expected.norm()


def test_what_is_written_on_cuda_is_what_the_cpu_writes(model, cuda):
    prompts, _ = ragged(5)
    settings = {"ends": [EOS], "pad_id": 0, "room": 8, "tokens_per_batch": 1000}
    found = greedy(cuda, prompts, **settings)
    assert [w.tokens for w in found] == [w.tokens for w in greedy(model, prompts, **settings)]
