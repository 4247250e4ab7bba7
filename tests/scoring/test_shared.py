import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from mllmrec.scoring.shared import completion_logps

VOCABULARY = 50


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(shape)


def batch(seed, prompts=3, rows=11, longest=9, answer=4):
    """Ragged prompts, some repeated; completions of 1 to 4 tokens, some repeated or a beginning."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (prompts,), generator=draw)
    tokens = torch.randint(1, VOCABULARY, (prompts, longest), generator=draw)
    which = torch.randint(0, prompts, (rows,), generator=draw)
    mask = (torch.arange(longest) >= longest - lengths[:, None]).long()[which]
    pool = torch.randint(1, VOCABULARY, (3, answer), generator=draw)
    completions = pool[torch.randint(0, 3, (rows,), generator=draw)]
    counts = torch.randint(1, answer + 1, (rows,), generator=draw)
    kept = (torch.arange(answer) < counts[:, None]).long()
    return tokens[which] * mask, mask, completions * kept, kept


def plain(model, prompt_ids, prompt_mask, completion_ids, completion_mask, temperature):
    """Each completion by itself, without any padding."""
    logps = torch.zeros(completion_ids.shape)
    entropies = torch.zeros(completion_ids.shape)
    for row in range(len(prompt_ids)):
        prompt = prompt_ids[row][prompt_mask[row].bool()]
        answer = completion_ids[row][completion_mask[row].bool()]
        ids = torch.cat([prompt, answer])[None]
        every = (model(input_ids=ids).logits[0] / temperature).log_softmax(-1)
        every = every[len(prompt) - 1 : -1]
        logps[row, : len(answer)] = every.gather(-1, answer[:, None])[:, 0]
        entropies[row, : len(answer)] = -(every.exp() * every).sum(-1)
    return logps, entropies


@pytest.mark.parametrize("seed", range(8))
def test_values_and_gradients_are_those_of_each_completion_by_itself(model, seed):
    given = batch(seed)
    kept = given[3].bool()
    weights = torch.randn(given[2].shape, generator=torch.Generator().manual_seed(seed))
    results = []
    for score in (completion_logps, plain):
        model.zero_grad()
        logps, entropies = score(model, *given, 0.7)
        (logps * weights)[kept].sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        results.append((logps[kept].detach(), entropies[kept].detach(), gradient))
    (ours, our_entropies, our_gradient), (theirs, their_entropies, their_gradient) = results
    assert (ours - theirs).abs().max() < 1e-5
    assert (our_entropies - their_entropies).abs().max() < 1e-5
    assert (our_gradient - their_gradient).norm() < 1e-5 * their_gradient.norm()


def test_completions_of_one_token_need_no_columns_of_their_own(model):
    prompt_ids, prompt_mask, completion_ids, _ = batch(0)
    one = torch.ones(len(prompt_ids), 1, dtype=torch.long)
    given = (prompt_ids, prompt_mask, completion_ids[:, :1], one)
    assert torch.allclose(
        completion_logps(model, *given, 1.0)[0], plain(model, *given, 1.0)[0], atol=1e-5
    )


def test_a_prompt_is_read_once_however_many_completions_it_has(model):
    seen = []
    handle = model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    prompt_ids, prompt_mask, completion_ids, kept = batch(1, prompts=2, rows=40)
    completion_logps(model, prompt_ids, prompt_mask, completion_ids, kept, 1.0)
    handle.remove()
    assert [shape[0] for shape in seen] == [2]
