"""Packed scoring gives the numbers of scoring every answer by itself."""

import copy
import math
from functools import partial

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3ForCausalLM,
    StableLmConfig,
)

from mllmrec.errors import Refusal
from mllmrec.scoring import packed
from mllmrec.scoring.attention import NAME
from mllmrec.scoring.packed import answer_logps, batches, log_choice, token_logps
from mllmrec.scoring.trie import pack
from tests.plain import EOS, VOCAB, by_itself, eager, gradient_of, plain, ragged


def assert_close(found, expected):
    assert [len(row) for row in found] == [len(row) for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, abs=1e-5, rel=2e-6)


@pytest.mark.parametrize("budget", [1, 60, 100_000])
@pytest.mark.parametrize("seed", range(4))
def test_it_equals_each_answer_scored_by_itself(model, seed, budget):
    prompts, answers = ragged(seed)
    found = answer_logps(model, prompts, answers, budget)
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
    assert_close(answer_logps(model, prompts, [answers], 100), plain(model, prompts, [answers]))


def test_many_answers_are_scored_in_several_tries(model, monkeypatch):
    prompts, answers = ragged(11)
    assert len(pack(prompts[0], [[5, 6, 7, 8], [6, 6], [6, 7], [7, 7]], 3).tries) == 2
    monkeypatch.setattr(packed, "pack", partial(pack, nodes=3))
    assert_close(answer_logps(model, prompts, answers, 200), plain(model, prompts, answers))


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("seed", range(6))
def test_tokens_and_gradients_are_those_of_each_answer_by_itself(model, seed, checkpointing):
    prompts, answers = ragged(seed, samples=4)
    twin = answers[0][0]
    answers[0] += [[EOS], [*twin[:-1], 5, EOS], twin]  # also one token, and longer by one
    shared, other = copy.deepcopy(model).train(), eager(model).train()
    if checkpointing:
        shared.gradient_checkpointing_enable()
    rows = [pack(p, these, nodes=9) for p, these in zip(prompts, answers, strict=True)]
    found = token_logps(shared, rows, temperature=0.7, entropy=True)
    pairs = [(p, a) for p, these in zip(prompts, answers, strict=True) for a in these]
    logps, entropies = (
        torch.cat(part)
        for part in zip(*(by_itself(other, *pair, 0.7) for pair in pairs), strict=True)
    )
    assert (found.logps - logps).abs().max() < 1e-5
    assert (found.entropies - entropies).abs().max() < 1e-5
    weights = torch.randn(len(logps), generator=torch.Generator().manual_seed(seed))
    ours = gradient_of(shared, (found.logps * weights).sum())
    theirs = gradient_of(other, (logps * weights).sum())
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def test_bfloat16_differs_by_its_own_rounding_alone(model):
    small = copy.deepcopy(model).to(torch.bfloat16)
    prompts, answers = ragged(3)
    found, expected = answer_logps(small, prompts, answers, 999), plain(small, prompts, answers)
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, abs=0.2, rel=0.05)


def test_a_prompt_is_read_once_however_many_answers_it_has(model):
    rows = [pack(range(3, 23), [[token, 5, EOS] for token in range(3, 30)])]
    fed = []
    handle = model.register_forward_pre_hook(
        lambda _, __, kwargs: fed.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    token_logps(model, rows)
    handle.remove()
    assert fed == [20 + 27 * 2]  # an answer's last token is not fed


def test_generation_goes_on_as_under_sdpa(model):
    ids, mask = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 3]]), torch.tensor([[0, 0, 1, 1], [1] * 4])
    settings = {"do_sample": False, "max_new_tokens": 6, "pad_token_id": 0, "eos_token_id": None}
    other = copy.deepcopy(model)
    other.set_attn_implementation("sdpa")
    token_logps(model, [pack([1], [[2]])])
    assert model.config._attn_implementation == NAME
    ours, theirs = (m.generate(ids, attention_mask=mask, **settings) for m in (model, other))
    assert ours.tolist() == theirs.tolist()


def test_a_prompt_beyond_the_models_length_is_refused(model):
    answer_logps(model, [[1] * 255], [[[2, EOS]]], 10)  # the last token is never fed
    with pytest.raises(Refusal, match="257 tokens long, the model takes 256"):
        answer_logps(model, [[1] * 256], [[[2, EOS]]], 10)


def choice(answers, logps, by):
    rows = [pack([1], answers, nodes=2)]  # a trie each: the beginnings they share lie apart
    return log_choice(rows, torch.tensor(logps), by).exp().tolist()


def test_a_choice_by_token_renormalises_among_those_that_lead_on():
    """a: .2 then b .5 or c .25; d: .2. Half of the mass at the top each, b to c as 2 to 1."""
    answers = [[10, 11, EOS], [13, EOS], [10, 12, EOS]]
    a, b, c, d, end = (math.log(p) for p in (0.2, 0.5, 0.25, 0.2, 0.9))
    logps = [a, b, end, d, end, a, c, end]
    assert choice(answers, logps, "token") == pytest.approx([1 / 3, 1 / 2, 1 / 6])


def test_a_choice_by_sequence_is_what_is_left_of_free_sampling():
    answers = [[10, 11, EOS], [13, EOS], [10, 12, EOS]]
    a, b, c, d, end = (math.log(p) for p in (0.2, 0.5, 0.25, 0.2, 0.9))
    whole = [0.2 * 0.5, 0.2, 0.2 * 0.25]
    logps = [a, b, end, d, end, a, c, end]
    expected = [mass / sum(whole) for mass in whole]
    assert choice(answers, logps, "sequence") == pytest.approx(expected)


def test_a_prompt_without_answers_has_no_scores(model):
    assert answer_logps(model, [[3, 4], [5]], [[], [[6, EOS]]], 100)[0] == []
    assert answer_logps(model, [], [], 100) == []


def test_company_in_the_batch_changes_nothing_that_shows(model):
    prompts, answers = ragged(5)
    together = answer_logps(model, prompts, answers, 100_000)
    alone = [
        answer_logps(model, [prompt], [these], 1)[0]
        for prompt, these in zip(prompts, answers, strict=True)
    ]
    assert_close(together, alone)
    assert together == answer_logps(model, prompts, answers, 100_000)


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
    found = answer_logps(adapted, prompts, answers, 100)
    assert adapted.training
    adapted.eval()
    assert_close(found, plain(adapted, prompts, answers))
    with adapted.disable_adapter():
        bare = answer_logps(adapted, prompts, answers, 100)
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
        assert len(batch) == 1 or sum(rows[i].size for i in batch) <= 120


def test_progress_counts_prompts(model):
    prompts, answers = ragged(8)
    done = []
    answer_logps(model, prompts, answers, 60, done.append)
    assert sum(done) == len(prompts)
    assert len(done) > 1


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="no tokens"):
        pack([1], [[]], 9)
    with pytest.raises(ValueError, match="no tokens"):
        pack([], [[1]], 9)


def test_other_attention_is_refused(model):
    with pytest.raises(Refusal, match="eager attention"):
        answer_logps(eager(model), [[1]], [[[2]]], 10)


def shaped(kind, **more):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    if kind is not FalconConfig:  # to which it is no knob
        heads["head_dim"] = 8
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
    """Shared prompts would let them see all, and the numbers would be wrong."""
    with pytest.raises(Refusal, match="sliding_attention") as refusal:
        answer_logps(shaped(kind, **more), [[1, 2, 3]], [[[4, EOS]]], 100)
    assert "backbone.path=DIR" in refusal.value.do


@pytest.mark.parametrize("kind", [StableLmConfig, FalconConfig])
def test_models_that_do_not_tell_their_attention_are_refused(kind):
    """Their layers would see all rows, or go on as before, and the numbers would be wrong."""
    with pytest.raises(Refusal, match="a model of the kind"):
        answer_logps(shaped(kind), [[1, 2, 3]], [[[4, EOS]]], 100)


@pytest.mark.parametrize("kind", [LlamaConfig, Qwen2Config, GPT2Config])
def test_other_models_give_the_numbers_of_plain_forwards(kind):
    other = shaped(kind)
    prompts, answers = ragged(9)
    assert_close(answer_logps(other, prompts, answers, 60), plain(other, prompts, answers))


@pytest.mark.parametrize(
    ("kind", "more"), [(Qwen3Config, {}), (MistralConfig, {"sliding_window": None})]
)
def test_a_window_that_is_not_in_use_is_none(kind, more):
    assert answer_logps(shaped(kind, **more), [[1, 2, 3]], [[[4, EOS]]], 100)
