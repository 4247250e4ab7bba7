"""Packed scoring gives the numbers of scoring every answer by itself."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, Qwen3Config, Qwen3ForCausalLM

from mllmrec.errors import Refusal
from mllmrec.scoring import packed
from mllmrec.scoring.packed import answer_logps, batches, pack

PAD, EOS, VOCAB = 0, 2, 32


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        use_cache=False,  # as trainers leave it
    )
    model = Qwen3ForCausalLM(config).eval()
    with torch.no_grad():  # sharpen, so that a wrong mask or position cannot hide in a flat output
        for weight in model.parameters():
            weight.mul_(3)
    return model


@torch.inference_mode()
def by_itself(model, prompt, answer):
    ids = torch.tensor([[*prompt, *answer]])
    logps = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
    return sum(logps[len(prompt) - 1 + n, token].item() for n, token in enumerate(answer))


def plain(model, prompts, answers):
    pairs = zip(prompts, answers, strict=True)
    return [[by_itself(model, prompt, answer) for answer in these] for prompt, these in pairs]


def ragged(seed, samples=6):
    """Prompts of 1 to 30 tokens; answers over few tokens, so that beginnings are often shared."""
    rng = random.Random(seed)
    prompts = [rng.choices(range(3, VOCAB), k=rng.randint(1, 30)) for _ in range(samples)]
    answers = [
        [[*rng.choices((5, 6, 7), k=rng.randint(0, 5)), EOS] for _ in range(rng.randint(1, 9))]
        for _ in range(samples)
    ]
    return prompts, answers


def assert_close(found, expected):
    assert [len(row) for row in found] == [len(row) for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, abs=1e-5, rel=2e-6)


@pytest.mark.parametrize("budget", [1, 60, 100_000])
@pytest.mark.parametrize("seed", range(4))
def test_it_equals_each_answer_scored_by_itself(model, seed, budget):
    prompts, answers = ragged(seed)
    found = answer_logps(model, prompts, answers, PAD, budget)
    assert_close(found, plain(model, prompts, answers))


@pytest.mark.parametrize(
    "answers",
    [
        [[5]],
        [[5], [6], [7]],
        [[5, 6], [5, 6, 7], [5]],
        [[5, 6, EOS], [5, 6, EOS]],
        [[5, 5, 5], [6, 5, 5], [5, 5, 6], [6, 6]],
        [[9, 8, 7], [3]],
    ],
    ids=["one", "single tokens", "prefixes", "twice the same", "shared", "unsorted"],
)
def test_shapes_of_answers(model, answers):
    prompts = [[11, 12, 13]]
    assert_close(
        answer_logps(model, prompts, [answers], PAD, 100), plain(model, prompts, [answers])
    )


def test_many_answers_are_scored_in_several_tries(model, monkeypatch):
    prompts, answers = ragged(11)
    assert len(pack(prompts[0], [[5, 6, 7, 8], [6, 6], [6, 7], [7, 7]], 3).tries) == 2
    monkeypatch.setattr(packed, "NODES", 3)
    assert_close(answer_logps(model, prompts, answers, PAD, 200), plain(model, prompts, answers))


def test_a_prompt_without_answers_has_no_scores(model):
    assert answer_logps(model, [[3, 4], [5]], [[], [[6, EOS]]], PAD, 100)[0] == []
    assert answer_logps(model, [], [], PAD, 100) == []


def test_company_in_the_batch_changes_nothing_that_shows(model):
    prompts, answers = ragged(5)
    together = answer_logps(model, prompts, answers, PAD, 100_000)
    alone = [
        answer_logps(model, [prompt], [these], PAD, 1)[0]
        for prompt, these in zip(prompts, answers, strict=True)
    ]
    assert_close(together, alone)
    assert together == answer_logps(model, prompts, answers, PAD, 100_000)


def test_a_lora_adapter_takes_part(model):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        Qwen3ForCausalLM(model.config),
        peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    )
    adapted.load_state_dict(
        {f"base_model.model.{name}": weight for name, weight in model.state_dict().items()},
        strict=False,
    )
    adapted.train()
    prompts, answers = ragged(6)
    found = answer_logps(adapted, prompts, answers, PAD, 100)
    assert adapted.training
    adapted.eval()
    assert_close(found, plain(adapted, prompts, answers))
    with adapted.disable_adapter():
        bare = answer_logps(adapted, prompts, answers, PAD, 100)
    assert bare[0] != pytest.approx(found[0], abs=1e-3)


def test_shared_beginnings_are_laid_out_once():
    (trie,) = pack([1, 2], [[5, 7, EOS], [5, 6, EOS], [5, EOS]], 9).tries
    assert trie.tokens == [2, 5, 6, 7]
    assert trie.depth == [0, 1, 2, 2]
    assert trie.ends == [4, 4, 3, 4]


def test_batches_keep_to_the_budget_and_hold_every_row_once():
    prompts, answers = ragged(7, samples=40)
    rows = [pack(prompt, these, 9) for prompt, these in zip(prompts, answers, strict=True)]
    found = list(batches(rows, 120))
    assert sorted(i for batch in found for i in batch) == list(range(40))
    for batch in found:
        longest = max(len(rows[i].prompt) for i in batch) + max(rows[i].nodes for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= 120


def test_progress_counts_prompts(model):
    prompts, answers = ragged(8)
    done = []
    answer_logps(model, prompts, answers, PAD, 60, done.append)
    assert sum(done) == len(prompts)
    assert len(done) > 1


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="no tokens"):
        pack([1], [[]], 9)
    with pytest.raises(ValueError, match="no tokens"):
        pack([], [[1]], 9)


def test_attention_that_takes_no_bool_mask_is_refused(model):
    config = Qwen3Config(**model.config.to_dict())
    eager = Qwen3ForCausalLM._from_config(config, attn_implementation="eager")
    with pytest.raises(Refusal, match="sdpa"):
        answer_logps(eager, [[1]], [[[2]]], PAD, 10)


def shaped(kind, **more):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    made = kind(vocab_size=VOCAB, **sizes, **heads, **more)
    return AutoModelForCausalLM.from_config(made, attn_implementation="sdpa").eval()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Qwen3Config, {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
        (MistralConfig, {"sliding_window": 4}),
    ],
    ids=["hybrid", "window"],
)
def test_layers_that_see_a_window_are_refused(kind, more):
    """The one mask of a packed row would let them see all, and the numbers would be wrong."""
    with pytest.raises(Refusal, match="sliding_attention") as refusal:
        answer_logps(shaped(kind, **more), [[1, 2, 3]], [[[4, EOS]]], PAD, 100)
    assert "backbone.path=DIR" in refusal.value.do


@pytest.mark.parametrize(
    ("kind", "more"), [(Qwen3Config, {}), (MistralConfig, {"sliding_window": None})]
)
def test_a_window_that_is_not_in_use_is_none(kind, more):
    assert answer_logps(shaped(kind, **more), [[1, 2, 3]], [[[4, EOS]]], PAD, 100)
