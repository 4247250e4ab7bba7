"""The second opinion on shared prompts: every answer in a sequence of its own, written out."""

import copy
import random

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

EOS, VOCAB = 2, 32


def sharp_model():
    """A random model of two layers that is sure of its choices."""
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
            weight.mul_(2)
    return model


def eager(model):
    """The same model under attention that is written out: nothing of ours takes part."""
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    return other


def by_itself(model, prompt, answer, temperature=1.0):
    """Log-probabilities and entropies of an answer's tokens, in a sequence of its own."""
    ids = torch.tensor([[*prompt, *answer]])
    logits = model(input_ids=ids, use_cache=False).logits[0].float() / temperature
    logps = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return logps.gather(-1, torch.tensor(answer)[:, None])[:, 0], -(logps.exp() * logps).sum(-1)


@torch.inference_mode()
def plain(model, prompts, answers):
    score, other = by_itself, eager(model)
    return [
        [score(other, prompt, answer)[0].double().sum().item() for answer in these]
        for prompt, these in zip(prompts, answers, strict=True)
    ]


def ragged(seed, samples=6):
    """Prompts of 1 to 30 tokens; answers over few tokens, so that beginnings are often shared."""
    rng = random.Random(seed)
    prompts = [rng.choices(range(3, VOCAB), k=rng.randint(1, 30)) for _ in range(samples)]
    answers = [
        [[*rng.choices((5, 6, 7), k=rng.randint(0, 5)), EOS] for _ in range(rng.randint(1, 9))]
        for _ in range(samples)
    ]
    return prompts, answers


def gradient_of(model, loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
